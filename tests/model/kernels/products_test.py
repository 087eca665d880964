import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.model.kernels.products import Dense, project, side_by_side


@pytest.fixture(scope="module", params=[(8, 3), (3, 8)], ids=["tall", "wide"])
def operands(request):
    rng = np.random.default_rng(0)
    shapes = (2, 5, request.param[0]), request.param
    return tuple(jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)


@pytest.mark.parametrize("turned", [False, True])
def test_value_and_gradient_are_those_of_a_plain_product(operands, turned):
    def through(product):
        return jax.value_and_grad(
            lambda x, kernel: jnp.sin(product(x, kernel)).sum(), argnums=(0, 1)
        )(*operands)

    ours = through(lambda x, kernel: project(x, kernel, turned, wide=False))
    plain = through(jnp.matmul)
    for leaf, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("turned", [False, True])
def test_a_tall_kernels_gradient_is_turned_where_it_is_wanted(operands, turned):
    x, kernel = operands
    program = str(
        jax.make_jaxpr(jax.grad(lambda k: project(x, k, turned, False).sum()))(kernel)
    )
    wanted = turned and kernel.shape == (8, 3)
    assert ("optimization_barrier" in program) == wanted


@pytest.mark.parametrize("wide", [False, True])
def test_values_and_gradients_keep_their_operands_types(operands, wide):
    narrow = [x.astype(jnp.bfloat16) for x in operands]
    assert project(*narrow, True, wide).dtype == jnp.bfloat16
    np.testing.assert_allclose(
        project(*narrow, True, wide).astype(jnp.float32),
        project(*operands, True, wide),
        rtol=0.02,
        atol=0.05,
    )
    gradient = jax.grad(lambda *xs: project(*xs, True, wide).sum(), argnums=(0, 1))
    assert [x.dtype for x in gradient(*narrow)] == [jnp.bfloat16, jnp.bfloat16]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layers_side_by_side_give_what_each_gives_alone(operands, dtype):
    x, kernel = operands
    layer = Dense(
        *kernel.shape, dtype=dtype, initializer_range=1.0, turned=False, wide=True
    )
    params = [layer.init(jax.random.key(seed), x) for seed in range(3)]
    params = [jax.tree.map(lambda p: p + 0.5, variables) for variables in params]

    def together(params):
        bound = tuple(layer.bind(variables) for variables in params)
        return side_by_side(bound, x)

    def apart(params):
        return jnp.concatenate(
            [layer.apply(variables, x) for variables in params], axis=-1
        )

    at_once, expected = (
        jax.value_and_grad(lambda p, f=f: jnp.sin(f(p).astype(jnp.float32)).sum())(
            params
        )
        for f in (together, apart)
    )
    assert together(params).dtype == dtype
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        at_once,
        expected,
    )
