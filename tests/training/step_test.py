"""One update: the gradient of the global mean, whatever the weights and the devices."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_objective

from amber_jax.training.optimizer import build_optimizer
from amber_jax.training.parallel import build_backend
from amber_jax.training.state import new_state
from amber_jax.training.step import train_step
from amber_jax.types import WeightedSum, independent

RATE = 0.1


def optimizer_named(name, clip_norm=0.0):
    return build_optimizer(
        name,
        beta1=0.9,
        beta2=0.999,
        epsilon=1e-6,
        weight_decay=0.01,
        clip_norm=clip_norm,
    )


def compiled(
    backend="jit",
    *,
    num_devices=1,
    optimizer="sgd",
    clip_norm=0.0,
    micro_batches=1,
    objective=toy_objective.objective,
    weights=None,
):
    """Returns (state, step): `step(state, batch)` on host batches."""
    built = build_backend(backend, fsdp=False, num_devices=num_devices)
    rule = optimizer_named(optimizer, clip_norm)
    step = functools.partial(
        train_step,
        objective=objective,
        loss_weights=weights or (lambda step: {"error": jnp.float32(1.0)}),
        learning_rate=lambda step: jnp.float32(RATE),
        optimizer=rule,
        micro_batches=micro_batches,
    )
    make = functools.partial(new_state, toy_objective.params(), rule)
    shardings = built.place(jax.eval_shape(make))
    state = jax.jit(make, out_shardings=shardings)()
    run = built.compile(step, state)
    key = jax.random.key(0)
    return state, lambda state, batch: run(state, built.put_batch(batch), key)


def as_numpy(tree):
    return jax.tree.map(np.array, tree)


def mean_error(params, batch):
    rows = batch["pair"]
    guess = (rows["x"] * params["kernel"][None]).sum(-1) + params["bias"]
    square = (guess - rows["y"]) ** 2 * rows["weight"]
    return square.sum() / rows["weight"].sum()


@pytest.mark.parametrize(
    ("backend", "num_devices"), [("jit", 1), ("jit", 8), ("pmap", 1), ("pmap", 8)]
)
def test_an_update_is_the_gradient_of_the_mean_over_everything(backend, num_devices):
    batch, params = toy_objective.batch(), toy_objective.params()
    loss, gradient = jax.value_and_grad(mean_error)(params, batch)
    state, step = compiled(backend, num_devices=num_devices)
    state, metrics = step(state, batch)
    for name in params:
        wanted = params[name] - RATE * gradient[name]
        np.testing.assert_allclose(state.params[name], wanted, rtol=1e-5)
    assert float(metrics["loss"]) == pytest.approx(float(loss), rel=1e-5)
    assert float(metrics["error"]) == pytest.approx(float(loss), rel=1e-5)
    norm = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradient)))
    assert float(metrics["grad_norm"]) == pytest.approx(float(norm), rel=1e-5)
    assert metrics["learning_rate"] == np.float32(RATE)
    assert int(state.step) == 1


@pytest.mark.parametrize("backend", ["jit", "pmap"])
def test_clipping_acts_on_the_gradient_of_all_devices_together(backend):
    params = []
    for num_devices in (1, 8):
        state, step = compiled(backend, num_devices=num_devices, clip_norm=0.01)
        before = as_numpy(state.params)
        state, metrics = step(state, toy_objective.batch())
        moved = jax.tree.map(lambda new, old: new - old, state.params, before)
        length = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(moved)))
        assert float(length) == pytest.approx(RATE * 0.01, rel=1e-3)
        assert float(metrics["grad_norm"]) > 0.1, "of the gradient as it was"
        params.append(as_numpy(state.params))
    for name in params[0]:
        np.testing.assert_allclose(params[0][name], params[1][name], atol=1e-7)


@pytest.mark.parametrize("micro_batches", [2, 4, 8])
def test_micro_batches_change_nothing_however_uneven_their_weights(micro_batches):
    batch = toy_objective.batch()
    whole, step = compiled()
    whole, wanted = step(whole, batch)
    parts, step = compiled(micro_batches=micro_batches)
    parts, metrics = step(parts, batch)
    for name in whole.params:
        np.testing.assert_allclose(
            parts.params[name], whole.params[name], atol=1e-6, err_msg=name
        )
    for name in ("loss", "error", "grad_norm"):
        assert float(metrics[name]) == pytest.approx(float(wanted[name]), rel=1e-5)


def test_micro_batches_on_several_devices_change_nothing_either():
    batch = toy_objective.batch()
    whole, step = compiled()
    whole, _ = step(whole, batch)
    for backend in ("jit", "pmap"):
        parts, step = compiled(backend, num_devices=4, micro_batches=2)
        parts, _ = step(parts, batch)
        for name in whole.params:
            np.testing.assert_allclose(
                parts.params[name], whole.params[name], atol=1e-6, err_msg=backend
            )


def test_every_micro_batch_takes_every_so_manieth_row_and_the_step_s_key():
    seen = []

    def spy(params, batch, key, *, train):
        assert train
        jax.debug.callback(
            lambda x, draw: seen.append((x[:, 0].tolist(), float(draw))),
            batch["pair"]["x"],
            jax.random.uniform(key),
        )
        return toy_objective.terms(params, batch, key, train=train)

    state, step = compiled(micro_batches=4, objective=independent(spy))
    batch = toy_objective.batch(rows=8)
    step(state, batch)
    jax.effects_barrier()
    rows = {tuple(rows) for rows, _ in seen}
    first = batch["pair"]["x"][:, 0].tolist()
    assert rows == {tuple(first[part::4]) for part in range(4)}
    assert len({draw for _, draw in seen}) == 1


def test_what_is_random_depends_on_the_step_and_on_nothing_before_it():
    state, step = compiled()
    draws = []
    for _ in range(3):
        state, metrics = step(state, toy_objective.batch())
        draws.append(float(metrics["draw"]))
    assert len(set(draws)) == 3
    late, step = compiled()
    _, metrics = step(late._replace(step=jnp.int32(2)), toy_objective.batch(seed=5))
    assert float(metrics["draw"]) == draws[2]


def test_losses_are_weighted_and_other_terms_are_only_reported():
    state, step = compiled(weights=lambda step: {"error": 1.0 + step})
    before = as_numpy(state.params)
    state, first = step(state, toy_objective.batch())
    assert float(first["loss"]) == pytest.approx(float(first["error"]))
    assert 0 <= float(first["draw"]) < 1
    state, second = step(state, toy_objective.batch())
    assert float(second["loss"]) == pytest.approx(2 * float(second["error"]))
    assert (before["kernel"] != state.params["kernel"]).all()


def test_a_loss_without_anything_to_count_is_zero_and_moves_nothing():
    batch = toy_objective.batch()
    batch["pair"]["weight"][:] = 0
    state, step = compiled()
    before = as_numpy(state.params)
    state, metrics = step(state, batch)
    assert float(metrics["error"]) == 0.0
    assert int(state.skipped) == 0
    np.testing.assert_array_equal(state.params["kernel"], before["kernel"])


def infinite_slope(params, batch, key, *, train):
    """A finite loss whose gradient is not: the root of something that is 0."""
    rows = batch["pair"]
    total = jnp.sqrt((rows["x"] * params["kernel"][None]).sum(-1) ** 2).sum()
    return {"error": WeightedSum(total, jnp.float32(1.0))}


BAD_ROWS = {
    "a NaN": ("x", 0, np.nan),
    "an infinity": ("y", 0, np.inf),
    "an overflow": ("y", 0, 1e30),
    "a NaN on the last device": ("x", 15, np.nan),
}


@pytest.mark.parametrize("backend", ["jit", "pmap"])
def test_an_update_that_is_not_finite_changes_nothing_and_is_counted(backend):
    good = toy_objective.batch()
    state, step = compiled(backend, num_devices=8, optimizer="adamw")
    state, _ = step(state, good)
    before = as_numpy((state.params, state.opt_state))
    for times, (field, row, value) in enumerate(BAD_ROWS.values(), start=1):
        bad = toy_objective.batch()
        bad["pair"][field][row] = value
        bad["pair"]["weight"][row] = 1.0
        state, metrics = step(state, bad)
        chex.assert_trees_all_equal((state.params, state.opt_state), before)
        assert (int(state.skipped), int(state.skipped_in_a_row)) == (times, times)
        assert int(metrics["skipped_steps"]) == times
    assert int(state.step) == 1 + len(BAD_ROWS), "skipped updates count as steps"

    state, metrics = step(state, good)
    assert (int(state.skipped), int(state.skipped_in_a_row)) == (len(BAD_ROWS), 0)
    assert np.isfinite(float(metrics["loss"]))
    assert (np.asarray(state.params["kernel"]) != before[0]["kernel"]).all()


def test_a_gradient_that_is_not_finite_is_enough():
    batch = toy_objective.batch()
    batch["pair"]["x"][:] = 0
    state, step = compiled(objective=independent(infinite_slope))
    state, metrics = step(state, batch)
    assert float(metrics["loss"]) == 0.0
    assert int(state.skipped) == 1
    assert np.isfinite(state.params["kernel"]).all()
