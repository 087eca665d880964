"""What a traced step is divided into."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks import operations

ROOT = Path(__file__).parents[2]


def test_products_are_counted_from_the_programs_text():
    @jax.jit
    def work(x, y, z):
        with jax.named_scope("masked_lm"):
            scores = jnp.einsum("bik,bjk->bij", x, y)
        with jax.named_scope("update"):
            return jnp.sin(scores) @ z

    shapes = [(3, 50, 20), (3, 70, 20), (70, 90)]
    text = work.lower(*(jnp.ones(shape) for shape in shapes)).compile().as_text()
    program = operations.read(text)
    products = {
        (program.scopes[name], flops)
        for name, flops in program.products.items()
        if name in program.scopes
    }
    assert ("head", 2.0 * 3 * 50 * 70 * 20) in products
    assert ("update", 2.0 * 3 * 50 * 70 * 90) in products


def test_parts_add_up_and_the_bound_is_that_of_the_best_product():
    program = operations.Program(
        products={"a": 4e9, "b": 2e9, "tiny": 1.0},
        scopes={"a": "encoder", "b": "head", "tiny": "head", "c": "encoder"},
    )
    seconds = {"a": 0.04, "b": 0.04, "tiny": 1e-12, "c": 0.02, "while.1": 9.0}
    rows = {row["what"]: row for row in operations.rows(program, seconds)}
    assert rows["all"]["ms"] == pytest.approx(100)
    assert rows["products of the encoder"]["GFLOP/s"] == pytest.approx(100)
    assert rows["the rest of the encoder"]["% of the step"] == pytest.approx(20)
    (bound,) = (row for name, row in rows.items() if "alone" in name)
    assert bound["ms"] == pytest.approx(60)  # 6 GFLOP at 100 GFLOP/s


def test_instructions_of_several_outputs_are_known():
    line = '  %both.1 = (f32[4]{0}, f32[]) fusion(%a), calls=%c, metadata={op_name="x"}'
    assert operations.read(line).scopes == {"both.1": "encoder"}
