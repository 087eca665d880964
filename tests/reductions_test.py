import functools

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.reductions import (
    AXIS,
    gather_batch,
    reduce_sum,
    row_offset,
)

ROWS = np.arange(24, dtype=np.float32).reshape(4, 2, 3)  # 2 rows on each of 4 devices


def on_devices(function):
    return functools.partial(jax.pmap, axis_name=AXIS)(function)


def test_without_an_axis_everything_is_global_already():
    assert reduce_sum({"a": 2.0}, None) == {"a": 2.0}
    assert gather_batch(ROWS, None) is ROWS
    assert row_offset(5, None) == 0


def test_reduce_sum_adds_every_leaf_over_devices():
    total = on_devices(lambda x: reduce_sum({"x": x, "twice": 2 * x}, AXIS))(ROWS)
    for device in range(4):
        np.testing.assert_array_equal(total["x"][device], ROWS.sum(0))
        np.testing.assert_array_equal(total["twice"][device], 2 * ROWS.sum(0))


def test_gather_batch_puts_the_rows_of_all_devices_in_order():
    gathered = on_devices(lambda x: gather_batch(x, AXIS))(ROWS)
    for device in range(4):
        np.testing.assert_array_equal(gathered[device], ROWS.reshape(8, 3))


def test_row_offset_finds_a_devices_rows_in_the_gathered_batch():
    def own(x):
        begin = row_offset(len(x), AXIS)
        return jax.lax.dynamic_slice_in_dim(gather_batch(x, AXIS), begin, len(x))

    np.testing.assert_array_equal(on_devices(own)(ROWS), ROWS)


def test_gradients_through_gathered_rows_are_those_of_the_global_batch():
    def share(x):
        """This device's part of sum_ij (x_i . x_j)^3 over all rows i, j."""
        return (jnp.einsum("id,jd->ij", x, gather_batch(x, AXIS)) ** 3).sum()

    def whole(x):
        return (jnp.einsum("id,jd->ij", x, x) ** 3).sum()

    rows = ROWS / 20
    gradients = on_devices(jax.grad(share))(rows).reshape(8, 3)
    expected = jax.jit(jax.grad(whole))(rows.reshape(8, 3))
    np.testing.assert_allclose(gradients, expected, rtol=1e-5)
