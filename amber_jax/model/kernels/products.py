"""Dense layers, the backward pass of their product spelled out."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from amber_jax.types import Array


class Dense(nn.Module):
    """A product with a kernel, plus a bias; both are kept in float32."""

    inputs: int
    features: int
    dtype: str  # of the result
    initializer_range: float  # standard deviation of the truncated normal
    turned: bool  # as `project` takes it, as the next
    wide: bool

    def setup(self) -> None:
        """Names the parameters."""
        initial = nn.initializers.truncated_normal(self.initializer_range)
        self.kernel = self.param("kernel", initial, (self.inputs, self.features))
        self.bias = self.param("bias", nn.initializers.zeros, (self.features,))

    def __call__(self, x: Array) -> Array:
        """[..., D] -> [..., F]."""
        return side_by_side((self,), x)


def side_by_side(layers: tuple[Dense, ...], x: Array) -> Array:
    """The results of several layers for one input, concatenated: [..., D] -> [..., F].

    It is one product with all the kernels; F is the sum of their features.
    """
    first = layers[0]
    kernel = _joined([layer.kernel.astype(first.dtype) for layer in layers], axis=1)
    bias = _joined([layer.bias.astype(first.dtype) for layer in layers], axis=0)
    product = project(x.astype(first.dtype), kernel, first.turned, first.wide)
    return product + bias.reshape(*[1] * (x.ndim - 1), -1)


def _joined(arrays: list[Array], *, axis: int) -> Array:
    return arrays[0] if len(arrays) == 1 else jnp.concatenate(arrays, axis=axis)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def project(x: Array, kernel: Array, turned: bool, wide: bool) -> Array:
    """`x @ kernel`, [..., D], [D, F] -> [..., F].

    The automatic gradient of the kernel comes out transposed and is turned back, which
    sends XLA on the CPU down a path that takes twice as long; here it is written in
    the kernel's own order.

    Args:
        x: [..., D].
        kernel: [D, F].
        turned: whether the gradient of a tall kernel is computed as a wide one and
            transposed when it is finished.
        wide: whether the result is float32 until it is finished.
    """
    return _project_forward(x, kernel, turned, wide)[0]


def _project_forward(
    x: Array, kernel: Array, _: bool, wide: bool
) -> tuple[Array, tuple[Array, Array]]:
    sums = jnp.float32 if wide else None
    product = jnp.matmul(x, kernel, preferred_element_type=sums)
    return product.astype(x.dtype), (x, kernel)


def _project_backward(
    turned: bool, _: bool, kept: tuple[Array, Array], grad: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    tokens, grads = (y.reshape(-1, y.shape[-1]) for y in (x, grad))  # [T, D], [T, F]
    by_kernel = _kernel_gradient(tokens, grads, turned=turned)
    return jnp.matmul(grad, kernel.T), by_kernel


def _kernel_gradient(tokens: Array, grads: Array, *, turned: bool) -> Array:
    over_tokens = (((0,), (0,)), ((), ()))
    tall = tokens.shape[1] > grads.shape[1]
    if not (tall and turned):
        return jax.lax.dot_general(tokens, grads, over_tokens)
    # Without the barrier XLA makes the tall product of it after all: 16 ms instead of
    # 11 for 2,048 tokens, 1,024 to 256.
    wide = jax.lax.dot_general(grads, tokens, over_tokens)
    return jax.lax.optimization_barrier(wide).T


project.defvjp(_project_forward, _project_backward)
