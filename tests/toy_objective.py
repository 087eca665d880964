"""A linear model with weighted squared errors: the smallest objective for a step."""

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.types import WeightedSum, independent

FEATURES = 3


def terms(params, batch, key, *, train):
    """Weighted squared errors under `error`, and what the key gave as `draw`."""
    rows = batch["pair"]
    guess = (rows["x"] * params["kernel"][None]).sum(-1) + params["bias"]
    square = (guess - rows["y"]) ** 2 * rows["weight"]
    weight = jnp.float32(1.0)
    return {
        "error": WeightedSum(square.sum(), rows["weight"].sum()),
        "draw": WeightedSum(jax.random.uniform(key), weight),
    }


objective = independent(terms)


def params():
    """Parameters named as the decay table wants them."""
    return {"kernel": jnp.array([0.5, -1.0, 2.0]), "bias": jnp.float32(0.25)}


def batch(rows=16, *, seed=0):
    """Rows whose weights are very uneven: 0, 0, then 0.02 to 50."""
    random = np.random.default_rng(seed)
    weight = np.geomspace(0.02, 50.0, rows)
    weight[:2] = 0
    return {
        "pair": {
            "x": random.normal(size=(rows, FEATURES)).astype(np.float32),
            "y": random.normal(size=rows).astype(np.float32),
            "weight": weight.astype(np.float32),
        }
    }
