"""Times google-research/bert's own model, masked-LM head and optimizer.

Run by the interpreter of an environment with the extra `bench`, from the repository's
root, with a checkout of the public repository; the last line is one JSON object:

    PEER/bin/python -m benchmarks.peers.google_bert --root=CHECKOUT --size=small

It was written for TensorFlow 1.11 and runs here under tensorflow.compat.v1. The two
calls that are gone since, `contrib.layers.layer_norm` and `layers.dense`, are stood in
for below; all else is its own. Its next-sentence head is left out: the common work has
none. As shipped is as is; "tuned" is with the allocator of huggingface.py preloaded.
"""

import json
import sys
import types
from typing import Any

import tensorflow

from benchmarks import workload
from benchmarks.peers import program

tf = tensorflow.compat.v1
_MANY_STEPS = 10**6


def layer_norm(
    inputs: Any, begin_norm_axis: int, begin_params_axis: int, scope: str
) -> Any:
    """Stands in for contrib's, over the last axis, as the checkout calls it."""
    del begin_norm_axis, begin_params_axis  # both the last one
    with tf.variable_scope(scope, default_name="LayerNorm"):
        width = [int(inputs.shape[-1])]
        beta = tf.get_variable("beta", width, initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", width, initializer=tf.ones_initializer())
        mean, variance = tf.nn.moments(inputs, [-1], keep_dims=True)
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


def dense(
    inputs: Any,
    units: int,
    activation: Any = None,
    name: str | None = None,
    kernel_initializer: Any = None,
) -> Any:
    """Stands in for tf.layers.dense."""
    with tf.variable_scope(name, default_name="dense"):
        shape = [int(inputs.shape[-1]), units]
        kernel = tf.get_variable("kernel", shape, initializer=kernel_initializer)
        bias = tf.get_variable("bias", [units], initializer=tf.zeros_initializer())
        flat = len(inputs.shape) == 2
        product = tf.matmul(inputs, kernel) if flat else tf.tensordot(inputs, kernel, 1)
        result = product + bias
        return activation(result) if activation else result


def stand_in() -> types.ModuleType:
    """Returns what the checkout is to find as `tensorflow`."""
    module = types.ModuleType("tensorflow")
    names = [name for name in dir(tf) if not name.startswith("__")]
    module.__dict__.update({name: getattr(tf, name) for name in names})
    module.contrib = types.SimpleNamespace(
        layers=types.SimpleNamespace(layer_norm=layer_norm),
        tpu=types.SimpleNamespace(),
    )
    module.layers = types.SimpleNamespace(dense=dense)
    definers = ("string", "integer", "float", "bool")
    module.flags = types.SimpleNamespace(
        FLAGS=None, **{f"DEFINE_{kind}": lambda *_, **__: None for kind in definers}
    )
    return module


def build_graph(size: workload.Size, dropout: float) -> tuple[Any, Any, dict]:
    """Returns the loss, the update, and the placeholders by the field of a batch."""
    import modeling  # these three are the checkout's
    import optimization
    import run_pretraining

    row, slots = [size.rows, size.row_length], [size.rows, size.slots]
    shapes = {"input_ids": row, "mask": row, "segment_ids": row}
    shapes |= {"pos": slots, "pos_ids": slots}
    inputs = {name: tf.placeholder(tf.int32, shape) for name, shape in shapes.items()}
    inputs["pos_w"] = tf.placeholder(tf.float32, slots)
    config = modeling.BertConfig(
        vocab_size=size.vocab_size,
        hidden_size=size.hidden_size,
        num_hidden_layers=size.num_layers,
        num_attention_heads=size.num_heads,
        intermediate_size=size.intermediate_size,
        max_position_embeddings=max(512, size.row_length),
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        type_vocab_size=2,
    )
    tf.train.get_or_create_global_step()
    model = modeling.BertModel(
        config=config,
        is_training=True,
        input_ids=inputs["input_ids"],
        input_mask=inputs["mask"],
        token_type_ids=inputs["segment_ids"],
        use_one_hot_embeddings=False,
    )
    loss, _, _ = run_pretraining.get_masked_lm_output(
        config,
        model.get_sequence_output(),
        model.get_embedding_table(),
        inputs["pos"],
        inputs["pos_ids"],
        inputs["pos_w"],
    )
    update = optimization.create_optimizer(
        loss, workload.LEARNING_RATE, _MANY_STEPS, 0, False
    )
    return loss, update, inputs


def main() -> None:
    parser = program.parser()
    parser.add_argument("--root", required=True, help="the checkout")
    flags = parser.parse_args()
    size, batches = program.work(flags)
    tf.disable_v2_behavior()
    tf.set_random_seed(flags.seed)
    sys.path.insert(0, flags.root)
    sys.modules["tensorflow"] = stand_in()
    loss, update_op, inputs = build_graph(size, flags.dropout)
    session = tf.Session()
    session.run(tf.global_variables_initializer())

    def update(step: int) -> float:
        feed = {inputs[name]: getattr(batches[step], name) for name in inputs}
        return float(session.run([loss, update_op], feed)[0])

    variables = tf.trainable_variables()
    result = program.run(
        "google-research/bert",
        flags,
        size,
        batches,
        update,
        parameters=sum(int(variable.shape.num_elements()) for variable in variables),
        positions=len(batches) * size.rows * size.row_length,
        versions={"tensorflow": tensorflow.__version__},
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
