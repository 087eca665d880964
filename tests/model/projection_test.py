import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.model.projection import project

DENSE = (((2,), (0,)), ((), ()))


@pytest.fixture(scope="module", params=[(8, 3), (3, 8)], ids=["tall", "wide"])
def operands(request):
    rng = np.random.default_rng(0)
    shapes = (2, 5, request.param[0]), request.param
    return tuple(jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)


def test_value_and_gradient_are_those_of_a_plain_product(operands):
    def through(product):
        return jax.value_and_grad(
            lambda x, kernel: jnp.sin(product(x, kernel)).sum(), argnums=(0, 1)
        )(*operands)

    ours = through(lambda x, kernel: project(x, kernel, DENSE, precision=None))
    plain = through(jnp.matmul)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_tall_kernels_gradient_is_made_wide_on_the_cpu(operands):
    x, kernel = operands
    program = str(
        jax.make_jaxpr(jax.grad(lambda k: project(x, k, DENSE).sum()))(kernel)
    )
    assert ("optimization_barrier" in program) == (kernel.shape == (8, 3))


def test_the_gradient_of_a_kernel_is_the_same_on_an_accelerator(operands, monkeypatch):
    gradient = jax.grad(lambda *xs: jnp.sin(project(*xs, DENSE)).sum(), argnums=1)
    here = gradient(*operands)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    np.testing.assert_allclose(gradient(*operands), here, rtol=1e-5, atol=1e-6)


def test_gradients_keep_their_operands_types(operands):
    narrow = [x.astype(jnp.bfloat16) for x in operands]
    gradient = jax.grad(lambda *xs: project(*xs, DENSE).sum(), argnums=(0, 1))(*narrow)
    assert [x.dtype for x in gradient] == [jnp.bfloat16, jnp.bfloat16]


def test_other_products_are_refused(operands):
    with pytest.raises(ValueError, match="not those of a dense layer"):
        project(operands[0], operands[1].T, (((2,), (1,)), ((), ())))

    with pytest.raises(ValueError, match="not those of a dense layer"):
        project(*operands, DENSE, preferred_element_type=jnp.float32)
