"""One device, eight under `pmap` or `jit`, and eight that `chex` fakes: one result.

With SGD, because Adam divides wrong factors out again, and with rows so uneven that a
mean over devices of their own means would be far off.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_objective
from jax.sharding import PartitionSpec

from amber_jax.corpora.packing import lay_out
from amber_jax.errors import UserError
from amber_jax.inference.loading import init_params
from amber_jax.losses import LOSSES, MASKED_LM, SENTENCES
from amber_jax.model.encoder import EncoderConfig
from amber_jax.pretraining import objectives
from amber_jax.reductions import AXIS
from amber_jax.tokenization import SpecialTokens
from amber_jax.training.optimizer import build_optimizer
from amber_jax.training.parallel import build_backend
from amber_jax.training.state import new_state
from amber_jax.training.step import train_step
from amber_jax.types import WeightedSum, independent

DEVICES, ROW_LENGTH, MAX_PAIRS, VOCAB = 8, 64, 3, 64
SPECIAL = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
ALL = frozenset(LOSSES)
MASKED_LM_ONLY = frozenset({MASKED_LM})

# Tokens of each side of each pair, one row a device: with half of the tokens hidden,
# a row has 1 to 28 predictions, 2 % to 44 % of its places. Two devices have no pair.
SIDES = [
    [(1, 1)],
    [(2, 1), (1, 3)],
    [(3, 0)],
    [(10, 5)],
    [(8, 9), (7, 6), (5, 3)],
    [(4, 0), (2, 0)],
    [(12, 11), (14, 16)],
    [(27, 29)],
]


@pytest.fixture(scope="module")
def batch():
    """Eight very uneven rows of pairs."""
    random = np.random.default_rng(0)

    def words(count):
        return random.integers(5, VOCAB, count).tolist()

    rows = [[(words(x), words(y)) for x, y in sides] for sides in SIDES]
    packed = lay_out(rows, SPECIAL, row_length=ROW_LENGTH, max_pairs=MAX_PAIRS)
    number = np.arange(len(rows))
    return {
        "pair": {
            "token_ids": packed[:, :ROW_LENGTH],
            "span_lengths": packed[:, ROW_LENGTH:].reshape(-1, MAX_PAIRS, 2),
            "row_ids": np.stack([number % 2, 0 * number, number], 1).astype(np.uint32),
        }
    }


def encoder(dropout):
    return EncoderConfig(
        vocab_size=VOCAB,
        num_layers=2,
        hidden_size=16,
        num_heads=2,
        intermediate_size=32,
        max_positions=ROW_LENGTH,
        num_segments=2,
        hidden_dropout=dropout,
        attention_dropout=dropout,
        initializer_range=0.2,  # large, so that no gradient is near zero
        dtype="float32",
        remat=False,
    )


def optimizer(name="sgd"):
    return build_optimizer(
        name,
        beta1=0.9,
        beta2=0.999,
        epsilon=1e-6,
        weight_decay=0.01,
        clip_norm=0.0 if name == "sgd" else 1.0,
    )


def pretraining(losses, *, dropout=0.0):
    return objectives.pretraining_objective(
        encoder(dropout),
        objectives.Vocabulary(
            special=(SPECIAL.pad, SPECIAL.cls, SPECIAL.sep, SPECIAL.mask),
            mask_id=SPECIAL.mask,
            words=range(5, VOCAB),
            punctuation=np.arange(VOCAB) == 7,
        ),
        losses=losses,
        masking_rate=0.5,
        mask_key=jax.random.key(1),
        options={
            "sentence_alignment": objectives.SentenceAlignment(
                symmetric=False,
                normalize=False,
                scale=1.0,
                margin=0.0,
                special_tokens=False,
            ),
            "word_alignment": objectives.WordAlignment(
                form="attention",
                layer=-1,
                renormalize=False,
                special_tokens=False,
                punctuation=True,
                max_position_offset=0,
            ),
        },
    )


SMALL = {
    "embedding": np.linspace(-1, 1, 80, dtype=np.float32).reshape(10, 8),
    "layers": {
        "kernel": np.linspace(-3, 5, 256, dtype=np.float32).reshape(2, 16, 8),
        "bias": np.linspace(2, 3, 16, dtype=np.float32).reshape(2, 8),
    },
}


def pull(params, batch, key, *, train):
    """A loss that compiles in no time: every parameter drawn to each row's number."""
    rows = batch["pair"]
    distances = sum(
        ((leaf.reshape(1, -1) - rows["y"][:, None]) ** 2).mean(1)
        for leaf in jax.tree.leaves(params)
    )
    total = (distances * rows["weight"]).sum()
    return {MASKED_LM: WeightedSum(total, rows["weight"].sum())}


def step_function(rule, objective, losses, micro_batches=1):
    return functools.partial(
        train_step,
        objective=objective,
        loss_weights=lambda step: dict.fromkeys(losses, jnp.float32(1.0)),
        learning_rate=lambda step: jnp.float32(0.05),
        optimizer=rule,
        micro_batches=micro_batches,
    )


@functools.cache
def first_params():
    make = functools.partial(init_params, encoder(0.0))
    return jax.tree.map(np.asarray, jax.jit(make)(jax.random.key(2)))


def trained(
    batch,
    *,
    backend="jit",
    num_devices=1,
    fsdp=False,
    losses=ALL,
    dropout=0.0,
    micro_batches=1,
    updates=3,
):
    """Returns the state after some updates on `batch`, and each one's metrics."""
    objective = pretraining(losses, dropout=dropout)
    step = step_function(optimizer(), objective, losses, micro_batches)
    built = build_backend(backend, fsdp=fsdp, num_devices=num_devices)
    state = new_state(first_params(), optimizer())
    return updated(step, state, built, batch, updates)


def updated(step, state, built, batch, updates=3):
    step = built.compile(step, state)
    state = jax.device_put(jax.tree.map(np.asarray, state), built.place(state))
    history = []
    for _ in range(updates):
        state, metrics = step(state, built.put_batch(batch), jax.random.key(0))
        history.append({name: np.asarray(value) for name, value in metrics.items()})
    return state, history


def assert_close(tree, wanted, tolerance):
    for (path, leaf), other in zip(
        jax.tree_util.tree_leaves_with_path(tree),
        jax.tree.leaves(wanted),
        strict=True,
    ):
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(leaf, other, atol=tolerance, rtol=0, err_msg=name)


@pytest.fixture(scope="module")
def one_device(batch):
    return trained(batch)


def test_the_losses_move_every_parameter(one_device):
    state, history = one_device
    for (path, new), old in zip(
        jax.tree_util.tree_leaves_with_path(state.params),
        jax.tree.leaves(first_params()),
        strict=True,
    ):
        moved = np.abs(np.asarray(new) - old).max()
        name = jax.tree_util.keystr(path)
        # What is added to every key cancels out of the softmax.
        assert moved > 1e-4 or name.endswith("['key']['bias']"), (name, moved)
    assert min(history[0][loss] for loss in LOSSES) > 0
    assert history[2]["loss"] < history[0]["loss"]


@pytest.mark.parametrize("backend", ["pmap", "jit"])
def test_eight_devices_equal_one(backend, batch, one_device):
    state, history = trained(batch, backend=backend, num_devices=DEVICES)
    assert_close(state.params, one_device[0].params, 1e-6)
    assert_close(history, one_device[1], 2e-5)


def test_eight_devices_as_several_processes_map_them_equal_one(
    batch, one_device, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(jax, "process_count", lambda: 2)
        built = build_backend("pmap", fsdp=False, num_devices=0)
    assert built.num_devices == DEVICES
    step = step_function(optimizer(), pretraining(ALL), ALL)
    state = new_state(first_params(), optimizer())
    state, history = updated(step, state, built, batch)
    assert_close(state.params, one_device[0].params, 1e-6)
    assert_close(history, one_device[1], 2e-5)


def test_eight_devices_that_chex_fakes_equal_one(batch, one_device):
    step = step_function(optimizer(), pretraining(ALL), ALL)
    with chex.fake_pmap():
        mapped = jax.pmap(
            functools.partial(step, axis_name=AXIS),
            axis_name=AXIS,
            in_axes=(None, 0, None),
            out_axes=None,
        )
        step = jax.jit(mapped)
        rows = jax.tree.map(lambda x: x.reshape(DEVICES, -1, *x.shape[1:]), batch)
        state = new_state(first_params(), optimizer())
        for _ in range(3):
            # A fake pmap ignores `out_axes`: every device's result is there.
            everyones, metrics = step(state, rows, jax.random.key(0))
            for leaf in jax.tree.leaves((everyones, metrics)):
                assert (leaf == leaf[:1]).all(), "the devices would drift apart"
            state = jax.tree.map(lambda x: x[0], everyones)
    assert_close(state.params, one_device[0].params, 1e-6)


@pytest.fixture(scope="module")
def with_dropout(batch):
    return trained(batch, dropout=0.2, updates=5)


@pytest.mark.parametrize(
    "how",
    [
        {"backend": "pmap", "num_devices": 8},
        {"num_devices": 8},
        {"num_devices": 8, "fsdp": True},
        {"micro_batches": 4},
        {"backend": "pmap", "num_devices": 2, "micro_batches": 4},
    ],
    ids=str,
)
def test_dropout_is_the_same_however_rows_are_spread(batch, with_dropout, how):
    state, history = trained(batch, dropout=0.2, updates=5, **how)
    for leaf, other in zip(
        jax.tree.leaves(state.params),
        jax.tree.leaves(with_dropout[0].params),
        strict=True,
    ):
        # What is added to every key cancels out of the softmax: its bias is rounding.
        largest = max(np.abs(other).max(), 1e-3)
        np.testing.assert_allclose(leaf, other, rtol=0, atol=1e-5 * largest)
    assert_close(history, with_dropout[1], 1e-4)


def test_dropout_acts_on_every_loss(batch, with_dropout, one_device):
    dropped, whole = with_dropout[1][0], one_device[1][0]
    for loss in LOSSES:
        assert abs(dropped[loss] - whole[loss]) > 1e-4, loss


@pytest.fixture(scope="module")
def masked_lm_alone(batch):
    return trained(batch, losses=MASKED_LM_ONLY)


def test_sharded_parameters_equal_one_device(batch, masked_lm_alone):
    parts, history = trained(
        batch, losses=MASKED_LM_ONLY, fsdp=True, num_devices=DEVICES
    )
    assert shares_of(parts) == {1 / DEVICES}
    assert_close(parts.params, masked_lm_alone[0].params, 1e-6)
    assert_close(history, masked_lm_alone[1], 1e-5)


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_optimizers_do_not_depend_on_where_parameters_are(name):
    rule = optimizer(name)
    step = step_function(rule, independent(pull), MASKED_LM_ONLY)
    whole, parts = (
        updated(
            step,
            new_state(SMALL, rule),
            build_backend("jit", fsdp=fsdp, num_devices=DEVICES),
            toy_objective.batch(),
        )[0]
        for fsdp in (False, True)
    )
    assert_close(parts.params, whole.params, 1e-6)
    assert_close(parts.opt_state, whole.opt_state, 1e-6)
    assert (shares_of(whole), shares_of(parts)) == ({1.0}, {1 / DEVICES})
    assert (
        np.abs(whole.params["layers"]["kernel"] - SMALL["layers"]["kernel"]).max()
        > 0.01
    )


@pytest.mark.parametrize("backend", ["pmap", "jit"])
def test_a_step_on_one_device_sums_nothing_over_devices(backend):
    rule = optimizer()
    step = step_function(rule, independent(pull), MASKED_LM_ONLY)

    def program(num_devices):
        built = build_backend(backend, fsdp=False, num_devices=num_devices)
        batch = built.put_batch(toy_objective.batch())
        state = jax.tree.map(np.asarray, new_state(SMALL, rule))
        compiled = built.compile(step, state).lower(state, batch, jax.random.key(0))
        return compiled.compile().as_text()

    assert "all-reduce" in program(2)
    assert "all-reduce" not in program(1)


def shares_of(state):
    """Returns which share of its larger arrays a device holds."""
    return {
        leaf.addressable_data(0).size / leaf.size
        for leaf in jax.tree.leaves((state.params, state.opt_state))
        if leaf.size >= DEVICES
    }


@pytest.mark.parametrize(
    ("backend", "num_devices", "micro_batches"),
    [("jit", 1, 4), ("pmap", 2, 4)],
)
def test_micro_batches_of_uneven_rows_equal_one_batch_in_every_loss(
    batch, one_device, backend, num_devices, micro_batches
):
    whole, wanted = one_device
    parts, history = trained(
        batch, backend=backend, num_devices=num_devices, micro_batches=micro_batches
    )
    assert_close(parts.params, whole.params, 1e-6)
    assert_close(history, wanted, 1e-5)


def test_micro_batches_draw_the_same_dropout_for_embeddings_and_their_gradient(batch):
    losses = frozenset({SENTENCES})
    objective = pretraining(losses, dropout=0.3)
    params, key = first_params(), jax.random.key(0)
    parts = jax.tree.map(lambda x: x.reshape(-1, 2, *x.shape[1:]).swapaxes(0, 1), batch)
    of_step = jax.random.fold_in(key, 0)

    def at_once(params):
        embeddings = [
            objective.apart(
                params, jax.tree.map(lambda x, i=i: x[i], parts), of_step, train=True
            )[1]
            for i in range(2)
        ]
        together = jax.tree.map(lambda *xs: jnp.concatenate(xs), *embeddings)
        loss = objective.together(together, axis_name=None)[SENTENCES]
        return loss.total / loss.weight

    loss, gradient = jax.jit(jax.value_and_grad(at_once))(params)
    step = step_function(optimizer(), objective, losses, micro_batches=2)
    state, metrics = jax.jit(step)(new_state(params, optimizer()), batch, key)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    moved = jax.tree.map(lambda old, g: old - 0.05 * g, params, gradient)
    assert_close(state.params, moved, 1e-6)


def test_a_batch_is_spread_over_the_devices_in_order():
    batch = {"pair": {"x": np.arange(32).reshape(16, 2)}}
    one_by_one = build_backend("pmap", fsdp=False, num_devices=4).put_batch(batch)
    at_once = build_backend("jit", fsdp=False, num_devices=4).put_batch(batch)
    assert one_by_one["pair"]["x"].shape == (4, 4, 2)
    assert at_once["pair"]["x"].shape == (16, 2)
    for put in (one_by_one, at_once):
        shards = sorted(
            put["pair"]["x"].addressable_shards, key=lambda shard: shard.device.id
        )
        rows_by_device = [
            np.asarray(shard.data).reshape(4, 2).tolist() for shard in shards
        ]
        assert rows_by_device == batch["pair"]["x"].reshape(4, 4, 2).tolist()


def test_the_widest_axis_that_divides_is_sharded():
    place = build_backend("jit", fsdp=True, num_devices=8).place
    shapes = {
        "table": jnp.zeros((119, 16)),
        "wide": jnp.zeros((16, 64)),
        "odd": jnp.zeros((3, 5)),
        "count": jnp.zeros(()),
    }
    specs = jax.tree.map(lambda sharding: sharding.spec, place(shapes))
    assert specs == {
        "table": PartitionSpec(None, AXIS),
        "wide": PartitionSpec(None, AXIS),
        "odd": PartitionSpec(),
        "count": PartitionSpec(),
    }


@pytest.mark.parametrize(
    ("name", "fsdp", "num_devices", "sentence"),
    [
        ("tpu", False, 0, "backend is 'tpu'; choose one of pmap, jit"),
        ("jit", False, 9, "num_devices is 9 but 8 devices are visible"),
        ("pmap", True, 0, "fsdp is true with backend pmap"),
    ],
)
def test_a_back_end_that_cannot_be_is_refused(name, fsdp, num_devices, sentence):
    with pytest.raises(UserError, match=sentence):
        build_backend(name, fsdp=fsdp, num_devices=num_devices)
