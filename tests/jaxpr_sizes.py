"""How large the arrays of a traced function are."""

import jax.extend


def sizes_in(jaxpr):
    """Yields the entries of every array that is computed, inner functions' too."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.size for variable in equation.outvars)
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from sizes_in(inner)
