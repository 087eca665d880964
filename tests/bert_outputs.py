"""What a loaded BERT computes on padded rows, under the reference library's names."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.losses.masked_lm import cross_entropy
from amber_jax.model.encoder import Encoder
from amber_jax.model.heads import PretrainingModel
from amber_jax.model.rows import Layout, full_attention

IGNORED = -100  # the label of tokens that are not predicted


@functools.partial(jax.jit, static_argnums=0)
def _apply(config, params, batch):
    tokens = batch["input_ids"]
    places = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    real = (batch["attention_mask"] > 0).astype(jnp.int32)
    mask = full_attention(Layout(real, 0 * real, places))
    output = Encoder(config).apply(
        {"params": params["encoder"]},
        tokens,
        batch["token_type_ids"],
        places,
        mask,
        readout=lambda states: states,
    )
    outputs = {"hidden_states": output.readouts}
    if "pooler" in params:
        first = output.hidden_states[:, 0] @ params["pooler"]["kernel"]
        outputs["pooler_output"] = jnp.tanh(first + params["pooler"]["bias"][None])
    if "mlm_head" in params:
        parts = {part: params[part] for part in ("encoder", "mlm_head")}
        _, outputs["mlm_logits"] = PretrainingModel(config).apply(
            {"params": parts},
            tokens,
            batch["token_type_ids"],
            places,
            mask,
            places,
        )
    return outputs


def bert_outputs(config, params, batch):
    """Returns {"hidden_states": [N + 1, B, L, D], "pooler_output": [B, D],
    "mlm_logits": [B, L, V]}, the last two if the model has the parts.

    `batch` has input_ids, token_type_ids and attention_mask, each [B, L].
    """
    rows = {name: np.asarray(value, np.int32) for name, value in batch.items()}
    return jax.tree.map(np.asarray, _apply(config, params, rows))


def farthest(outputs, expected, batch):
    """Returns {output: its greatest difference}, of real tokens.

    What the reference gives for padding depends on the rest of the row.
    """
    real = np.asarray(batch["attention_mask"]) > 0
    differences = {name: np.abs(outputs[name] - expected[name]) for name in outputs}
    places = {"hidden_states": (slice(None), real), "mlm_logits": (real,)}
    return {
        name: difference[places[name]].max() if name in places else difference.max()
        for name, difference in differences.items()
    }


def mlm_loss_and_gradient(config, params, batch, labels):
    """Returns the mean loss over labels other than IGNORED, and its gradient."""
    labels = np.asarray(labels)
    targets, weights = np.maximum(labels, 0), (labels != IGNORED).astype(np.float32)
    rows = {name: np.asarray(value, np.int32) for name, value in batch.items()}

    def loss(params):
        losses = cross_entropy(_apply(config, params, rows)["mlm_logits"], targets)
        return (losses * weights).sum() / weights.sum()

    return jax.jit(jax.value_and_grad(loss))(params)
