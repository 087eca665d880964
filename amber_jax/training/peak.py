"""What a device reaches in products of large matrices, which bound a step."""

import time

import jax
import jax.numpy as jnp

_PRODUCTS, _REPEATS = 20, 3


def matrix_rate(dtype: str, *, width: int) -> float:
    """The FLOP/s of products [width, width] x [width, width] on one device."""
    left, right = (
        jax.random.normal(jax.random.key(seed), (width, width), dtype)
        for seed in (0, 1)
    )
    multiply = jax.jit(jnp.matmul)
    multiply(left, right).block_until_ready()
    fastest = float("inf")
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        for _ in range(_PRODUCTS):
            product = multiply(left, right)
        product.block_until_ready()
        fastest = min(fastest, time.perf_counter() - begin)
    return _PRODUCTS * 2 * width**3 / fastest
