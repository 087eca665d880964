"""The optimizers against their formulas, written out in NumPy."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from amber_jax.errors import UserError
from amber_jax.inference.loading import init_params
from amber_jax.model.encoder import EncoderConfig
from amber_jax.training.optimizer import (
    acting_on,
    build_optimizer,
    build_schedule,
    decay_mask,
    scale_by_layer_trust_ratio,
)

BETA1, BETA2, EPSILON, DECAY = 0.9, 0.98, 1e-6, 0.1
RATE = 0.01

SIZES = EncoderConfig(
    vocab_size=40,
    num_layers=3,
    hidden_size=8,
    num_heads=2,
    intermediate_size=16,
    max_positions=16,
    num_segments=2,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    initializer_range=0.02,
    dtype="float32",
    remat=False,
)


def built(name, *, clip_norm=0.0, weight_decay=DECAY):
    return build_optimizer(
        name,
        beta1=BETA1,
        beta2=BETA2,
        epsilon=EPSILON,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
    )


def random_like(tree, seed):
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: jnp.asarray(random.normal(size=x.shape), jnp.float32), tree
    )


@pytest.fixture(scope="module")
def real_params():
    shapes = jax.eval_shape(functools.partial(init_params, SIZES), jax.random.key(0))
    return random_like(shapes, 0)


def names(tree):
    return [
        ("/".join(entry.key for entry in path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


SCHEDULES = {  # rates by step, of a peak of 1e-3 after 10 of 100 steps
    "linear": {10: 1e-3, 55: 5e-4, 99: 1e-3 / 90, 100: 0.0, 10**6: 0.0},
    "cosine": {
        10: 1e-3,
        40: 0.75e-3,
        55: 5e-4,
        99: 5e-4 * (1 + math.cos(math.pi * 89 / 90)),
        100: 0.0,
    },
    "constant": {10: 1e-3, 55: 1e-3, 99: 1e-3, 10**6: 1e-3},
    "wsd": {10: 1e-3, 79: 1e-3, 80: 1e-3, 90: 5e-4, 99: 1e-3 / 20, 100: 0.0},
}
CASES = [
    (name, step, rate)
    for name, rates in SCHEDULES.items()
    for step, rate in {0: 1e-4, 4: 5e-4, 9: 1e-3, **rates}.items()
]


@pytest.mark.parametrize(("name", "step", "rate"), CASES)
def test_the_rate_rises_and_goes_on_as_its_schedule_says(name, step, rate):
    schedule = build_schedule(
        name,
        1e-3,
        warmup_steps=10,
        decay_steps=20 if name == "wsd" else 0,
        num_steps=100,
    )
    computed = jax.jit(schedule)(jnp.int32(step))
    assert float(computed) == pytest.approx(rate, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 3, 5])
def test_every_update_of_a_stage_has_a_positive_rate(name, warmup):
    schedule = build_schedule(
        name,
        2.0,
        warmup_steps=warmup,
        decay_steps=2 if name == "wsd" else 0,
        num_steps=7,
    )
    rates = [float(schedule(jnp.int32(step))) for step in range(7)]
    assert min(rates) > 0
    assert max(rates) == 2.0


def test_decay_acts_on_every_kernel_and_embedding_and_on_nothing_else(real_params):
    decayed = {name for name, acts in names(decay_mask(real_params)) if acts}
    exempt = {name for name, acts in names(decay_mask(real_params)) if not acts}
    assert {name.rsplit("/", 1)[1] for name in decayed} == {"kernel", "embedding"}
    assert {name.rsplit("/", 1)[1] for name in exempt} == {"bias", "scale"}
    assert len(decayed) == 3 + 6 + 1  # tables, a layer's matrices, the head's
    assert len(decayed) + len(exempt) == len(jax.tree.leaves(real_params))


def test_a_parameter_that_nobody_decided_on_is_refused():
    params = {"head": {"kernel": jnp.zeros(2), "gamma": jnp.zeros(2)}}
    with pytest.raises(ValueError, match=r"no weight-decay rule .*'head'.*'gamma'"):
        built("adamw").init(params) and decay_mask(params)


@pytest.mark.parametrize("name", ["adamw", "lamb", "sgd"])
def test_what_does_not_learn_stays_and_the_rest_moves_as_if_alone(name, real_params):
    apart = {"encoder", "mlm_head"}
    assert set(real_params) == apart

    def learns(params):
        return {
            part: jax.tree.map(lambda _, part=part: jnp.array(part != "encoder"), tree)
            for part, tree in params.items()
        }

    whole = acting_on(learns, built(name, clip_norm=1.0))
    moved = three_steps(whole, real_params)
    jax.tree.map(
        np.testing.assert_array_equal, moved["encoder"], real_params["encoder"]
    )

    @jax.jit
    def alone(head):
        optimizer = built(name, clip_norm=1.0)
        state = optimizer.init(head)
        for step in range(3):
            gradients = random_like(real_params, 10 + step)["mlm_head"]
            direction, state = optimizer.update(gradients, state, head)
            head = jax.tree.map(lambda p, d: p - RATE * d, head, direction)
        return head

    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-6),
        moved["mlm_head"],
        alone(real_params["mlm_head"]),
    )


class Reference:
    """Adam's moments in float64, one leaf at a time."""

    def __init__(self):
        self.first, self.second, self.count = 0.0, 0.0, 0

    def direction(self, gradient):
        self.count += 1
        self.first = BETA1 * self.first + (1 - BETA1) * gradient
        self.second = BETA2 * self.second + (1 - BETA2) * gradient**2
        mean = self.first / (1 - BETA1**self.count)
        square = self.second / (1 - BETA2**self.count)
        return mean / (np.sqrt(square) + EPSILON)


@functools.partial(jax.jit, static_argnums=0)
def three_steps(optimizer, params):
    state = optimizer.init(params)
    for step in range(3):
        gradients = random_like(params, 10 + step)
        direction, state = optimizer.update(gradients, state, params)
        params = jax.tree.map(lambda p, d: p - RATE * d, params, direction)
    return params


def assert_equal_to_reference(updated, params, update):
    """`update(name, weight, adam_direction)` is the reference's descent direction."""
    references = {name: Reference() for name, _ in names(params)}
    wanted = {name: np.asarray(leaf, np.float64) for name, leaf in names(params)}
    for step in range(3):
        for name, gradient in names(random_like(params, 10 + step)):
            adam = references[name].direction(np.asarray(gradient, np.float64))
            wanted[name] = wanted[name] - RATE * update(name, wanted[name], adam)
    for name, leaf in names(updated):
        np.testing.assert_allclose(leaf, wanted[name], atol=2e-6, err_msg=name)


def decayed(name, weight, adam):
    return adam + DECAY * weight * name.endswith(("kernel", "embedding"))


def test_three_steps_of_adamw_are_the_formula(real_params):
    updated = three_steps(built("adamw"), real_params)
    assert_equal_to_reference(updated, real_params, decayed)


def test_three_steps_of_lamb_are_the_formula_layer_by_layer(real_params):
    def update(name, weight, adam):
        direction = decayed(name, weight, adam)
        if name.endswith(("bias", "scale")):
            return direction
        parts = range(len(weight)) if "/layers/" in name else [...]
        scaled = np.empty_like(direction)
        for part in parts:
            ratio = np.linalg.norm(weight[part]) / np.linalg.norm(direction[part])
            scaled[part] = ratio * direction[part]
        return scaled

    updated = three_steps(built("lamb"), real_params)
    assert_equal_to_reference(updated, real_params, update)


def test_stacked_layers_get_the_trust_ratios_of_separate_ones():
    shapes = {"kernel": jnp.zeros((4, 5, 3)), "bias": jnp.zeros((4, 3))}
    weights, updates = random_like(shapes, 1), random_like(shapes, 2)
    # Layers of very different sizes: one ratio for all would be far off.
    weights["kernel"] *= jnp.array([1e-3, 1.0, 10.0, 1e3])[:, None, None]
    trust = scale_by_layer_trust_ratio()

    def scaled(update, weight, name):
        tree = {name: {"layer": update}}
        scaled_tree, _ = trust.update(
            tree, optax.EmptyState(), {name: {"layer": weight}}
        )
        return scaled_tree[name]["layer"]

    together = scaled(updates, weights, "layers")
    for n in range(4):
        alone = scaled(
            jax.tree.map(lambda x, n=n: x[n], updates),
            jax.tree.map(lambda x, n=n: x[n], weights),
            f"layer_{n}",
        )
        for name in ("kernel", "bias"):
            np.testing.assert_allclose(together[name][n], alone[name], rtol=1e-6)
        norms = [float(jnp.linalg.norm(x["kernel"][n])) for x in (together, weights)]
        assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    assert (together["bias"] == updates["bias"]).all(), "biases are left alone"


@pytest.mark.parametrize("zero", ["weights", "update"])
def test_a_trust_ratio_without_a_norm_is_one(zero):
    weight = jnp.zeros((2, 2)) if zero == "weights" else jnp.ones((2, 2))
    update = jnp.zeros((2, 2)) if zero == "update" else jnp.full((2, 2), 3.0)
    scaled, _ = scale_by_layer_trust_ratio().update(
        {"kernel": update}, optax.EmptyState(), {"kernel": weight}
    )
    assert (scaled["kernel"] == update).all()


@pytest.mark.parametrize(("norm", "length"), [(0.5, 0.5), (1.0, 1.0), (50.0, 5.0)])
def test_gradients_are_clipped_by_the_norm_of_all_of_them(norm, length):
    gradients = {"a": jnp.array([3.0]), "b": jnp.array([[0.0, 4.0]])}
    optimizer = built("sgd", clip_norm=norm)
    clipped, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    assert float(optax.tree.norm(clipped)) == pytest.approx(length, rel=1e-6)
    assert float(clipped["a"][0] / clipped["b"][0, 1]) == pytest.approx(0.75)


def test_a_clip_norm_of_zero_does_not_clip():
    gradients = {"kernel": jnp.full((3,), 1e6)}
    optimizer = built("sgd", clip_norm=0.0)
    clipped, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    assert (clipped["kernel"] == gradients["kernel"]).all()


def test_adamw_is_clipped_before_its_moments():
    params = {"kernel": jnp.ones((4,))}
    gradients = {"kernel": jnp.full((4,), 100.0)}
    optimizer = built("adamw", clip_norm=1.0, weight_decay=0.0)
    _, state = optimizer.update(gradients, optimizer.init(params), params)
    first = next(part for part in jax.tree.leaves(state) if part.shape == (4,))
    assert float(jnp.linalg.norm(first)) == pytest.approx((1 - BETA1) * 1.0, rel=1e-5)
    assert math.isfinite(float(first.sum()))


def test_an_unknown_optimizer_is_refused_with_the_choices():
    with pytest.raises(UserError, match="'adam'; choose one of adamw, lamb, sgd"):
        built("adam")
