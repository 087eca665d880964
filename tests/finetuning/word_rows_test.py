"""Training the touched rows of the word embeddings alone changes nothing else.

Every test compares with the step that trains all rows.
"""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax import config as settings
from amber_jax.finetuning.preparation import prepare
from amber_jax.finetuning.seed import compile_step, train_seed
from amber_jax.finetuning.word_rows import WordRows
from amber_jax.training.checkpoint import find_checkpoint, restore_state
from amber_jax.training.metrics import read_metrics
from amber_jax.training.state import TrainState

SEEDS = (1,)
LAMB = {"name": "lamb", "weight_decay": 0.5}
WORDS = ("7", "8", "12", "13", "40")  # of 55 that the tokenizer knows


def quietly(_):
    pass


@pytest.fixture(scope="module")
def prepared(checkpoint, tmp_path_factory):
    """A function: a fine-tuning of 8 steps, with optimizer settings of its own."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for name, count in (("train", 32), ("dev", 8), ("test", 4)):
        words = random.choice(WORDS, (count, 5))
        tags = {"7": "VERB", "40": "ADJ"}
        sentences = [
            "".join(f"{word}\t{tags.get(word, 'NUM')}\n" for word in sentence)
            for sentence in words
        ]
        (folder / f"{name}-en.tsv").write_text("\n".join(sentences) + "\n")

    def prepared(optimizer, **changes):
        config = settings.finetuning("udpos")
        config.data, config.languages = str(folder), ("en",)
        config.max_length, config.batch_size, config.num_epochs = 16, 8, 2
        config.peak_learning_rate, config.evaluate_every = 1e-2, 4
        config.tensorboard, config.num_devices = False, 1
        # One number of rows, and a loop of layers: less to compile.
        config.row_multiple, config.kernels.layers = 8, "loop"
        # Two programs round in two ways, and Adam would make a step of what rounding
        # leaves of a gradient that is 0, as that of the keys' bias.
        config.optimizer.epsilon = 1e-3
        config.optimizer.update(optimizer)
        config.update(changes)
        return prepare(config, checkpoint, note=quietly)

    return prepared


def with_all_rows(setup):
    return dataclasses.replace(setup, untouched_decay=None)


def trained(setup, folder):
    """{seed: its last state in the checkpoint}, and what the log says of dev."""
    step = compile_step(setup, quietly)
    for seed in SEEDS:
        assert train_seed(setup, step, seed, folder / str(seed))
    return {seed: last_state(setup, folder / str(seed)) for seed in SEEDS}


def last_state(setup, folder):
    checkpoint = find_checkpoint(folder)
    assert checkpoint.step == setup.num_steps
    return restore_state(checkpoint, setup.abstract_state)


def dev_scores(folder):
    return [
        r["average"]
        for r in read_metrics(folder / "metrics.jsonl")
        if "step" in r and r["kind"] == "eval"
    ]


def word_table(tree):
    return np.asarray(tree["encoder"]["embeddings"]["word"]["embedding"])


@pytest.mark.parametrize(
    ("optimizer", "changes"),
    [
        ({"weight_decay": 0.5}, {"schedule": "cosine", "warmup_steps": 3}),
        ({"clip_norm": 0.0}, {"schedule": "constant"}),
        ({"weight_decay": 0.5}, {"train_from_layer": 1, "backend": "jit"}),
        ({"name": "sgd"}, {"schedule": "wsd", "decay_steps": 2}),
        (LAMB, {"train_from_layer": 1}),
        ({"weight_decay": 0.5}, {"backend": "jit", "fsdp": True, "num_devices": 4}),
        ({"weight_decay": 0.5}, {"num_devices": 4}),
    ],
    ids=["decay", "no clipping", "frozen", "sgd", "lamb, frozen", "fsdp", "pmap"],
)
def test_every_parameter_and_moment_is_that_of_training_all_rows(
    optimizer, changes, prepared, tmp_path
):
    setup = prepared(optimizer, **changes)
    begun = word_table(setup.pretrained.params)
    others = np.ones(len(begun), bool)
    others[setup.word_rows.pieces] = False
    assert others.sum() > 40
    few = trained(setup, tmp_path / "few")
    every = trained(with_all_rows(setup), tmp_path / "every")
    for seed in SEEDS:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            few[seed],
            every[seed],
        )
        ours, theirs = (word_table(states[seed].params) for states in (few, every))
        np.testing.assert_array_equal(ours[others], theirs[others])
        learns = changes.get("train_from_layer", 0) == 0
        decays = bool(optimizer.get("weight_decay")) and learns
        assert (ours[others] != begun[others]).all() == decays
        assert (ours[~others] != begun[~others]).any() == learns
        scores = [dev_scores(tmp_path / way / str(seed)) for way in ("few", "every")]
        assert len(scores[0]) == 2 and scores[0] == scores[1]


def test_lambs_trust_ratio_needs_all_rows(prepared):
    assert len(prepared(LAMB).word_rows.pieces) == 55 + 5


def test_a_run_that_goes_on_from_a_checkpoint_ends_bit_for_bit(prepared, tmp_path):
    setup = prepared({"weight_decay": 0.5})
    step = compile_step(setup, quietly)
    train_seed(setup, step, 1, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "8")
    shutil.rmtree(tmp_path / "again" / "best")
    train_seed(setup, step, 1, tmp_path / "again")
    states = [last_state(setup, tmp_path / name) for name in ("whole", "again")]
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_a_run_that_trained_all_rows_goes_on(prepared, tmp_path):
    setup = prepared({"weight_decay": 0.5})
    every = with_all_rows(setup)
    train_seed(every, compile_step(every, quietly), 1, tmp_path)
    last = last_state(setup, tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "8")
    train_seed(setup, compile_step(setup, quietly), 1, tmp_path)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        last_state(setup, tmp_path),
        last,
    )


@pytest.mark.parametrize("skipped", [0, 1])
def test_an_update_that_is_skipped_takes_no_decay(skipped):
    rows = WordRows(np.array([1, 2], np.int32), vocab_size=4, decay=0.5)
    table = jnp.arange(1.0, 9.0).reshape(4, 2)
    params = {"encoder": {"embeddings": {"word": {"embedding": table}}}}
    state = TrainState(jnp.int32(0), params, (), jnp.int32(3), jnp.int32(0))

    def narrow_step(state, batch, key):
        doubled = jax.tree.map(lambda x: 2 * x, state.params)
        after = state._replace(params=doubled, skipped=state.skipped + skipped)
        return after, {"learning_rate": jnp.float32(0.1)}

    after, _ = rows.step(narrow_step)(state, {}, jax.random.key(0))
    factors = np.array([[0.95 if not skipped else 1.0], [2.0], [2.0]])
    np.testing.assert_allclose(word_table(after.params)[:3], table[:3] * factors)


def test_a_batch_with_another_piece_is_refused():
    rows = WordRows(np.array([0, 5, 9], np.int32), vocab_size=10, decay=0.0)
    known = rows.renumbered({"labeled": {"token_ids": np.array([[9, 0], [5, 5]])}})
    assert known["labeled"]["token_ids"].tolist() == [[2, 0], [1, 1]]
    for other in (1, 10):
        with pytest.raises(ValueError, match="pieces"):
            rows.renumbered({"labeled": {"token_ids": np.array([[other]])}})
