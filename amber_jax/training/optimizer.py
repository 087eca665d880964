"""AdamW and LAMB, learning-rate schedules, and what is exempt from decay."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from amber_jax.errors import UserError
from amber_jax.types import Array, Params

DECAYED = frozenset({"kernel", "embedding"})
EXEMPT = frozenset({"bias", "scale"})  # biases and LayerNorm
STACKED = "layers"  # parameters under this name hold every layer in their first axis
OPTIMIZERS = ("adamw", "lamb", "sgd")
LINEAR, COSINE, CONSTANT, WSD = "linear", "cosine", "constant", "wsd"
SCHEDULES = (LINEAR, COSINE, CONSTANT, WSD)


def build_schedule(
    name: str, peak: float, *, warmup_steps: int, decay_steps: int, num_steps: int
) -> Callable[[Array], Array]:
    """Returns step -> learning rate: linear from 0 to `peak`, then as `name` says.

    `linear` and `cosine` fall to 0 at `num_steps`, `constant` stays, and `wsd`
    (warm-up, stable, decay) stays and falls linearly in its last `decay_steps`.
    The first update (step 0) already has `peak / warmup_steps`, and the last one of
    `linear` and `wsd` still has a positive rate.

    Args:
        name: one of `SCHEDULES`.
        peak: the highest rate.
        warmup_steps: of the rise; 0 begins with `peak`.
        decay_steps: of `wsd` alone.
        num_steps: all of them.

    Source: linear, google-research/bert, optimization.py; cosine, Loshchilov and
    Hutter 2017, arXiv 1608.03983, without restarts; wsd, Hu et al. 2024, arXiv
    2404.06395, with the linear decay of Hägele et al. 2024, arXiv 2405.18392.
    """
    falling = max(num_steps - warmup_steps, 1)
    cosine = optax.cosine_decay_schedule(1.0, falling)
    stable = num_steps - decay_steps
    fall = {
        LINEAR: lambda step: (num_steps - step.astype(jnp.float32)) / falling,
        COSINE: lambda step: cosine(jnp.maximum(step - warmup_steps, 0)),
        CONSTANT: lambda _: 1.0,
        WSD: lambda step: optax.linear_schedule(1.0, 0.0, decay_steps, stable)(step),
    }[name]

    def learning_rate(step: Array) -> Array:
        rise = (step.astype(jnp.float32) + 1.0) / max(warmup_steps, 1)
        return peak * jnp.clip(jnp.minimum(rise, fall(step)), 0.0, 1.0)

    return learning_rate


def describe_schedule(name: str, decay_steps: int) -> str:
    """Returns what the learning rate does after its peak, in words."""
    return {
        LINEAR: "then linear to 0",
        COSINE: "then a cosine to 0",
        CONSTANT: "then constant",
        WSD: f"then constant, in the last {decay_steps:,} steps linear to 0",
    }[name]


def build_optimizer(
    name: str,
    *,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    clip_norm: float,
) -> optax.GradientTransformation:
    """Returns gradients -> descent direction, before the learning rate.

    Gradients are clipped by their global norm first; the step hands over gradients
    that are already summed over all devices, so the recipe does not depend on them.

    Args:
        name: one of `OPTIMIZERS`; `sgd` is for tests that compare gradients.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: added to the root of the second moment.
        weight_decay: decoupled; kernels and embeddings only.
        clip_norm: largest global norm; 0 does not clip.

    Source: AdamW, Loshchilov and Hutter 2019; LAMB, You et al. 2020, arXiv 1904.00962.
    """
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
    if name == "sgd":
        return optax.chain(clip, optax.identity())
    moments = optax.scale_by_adam(b1=beta1, b2=beta2, eps=epsilon)
    decay = optax.add_decayed_weights(weight_decay, mask=decay_mask)
    if name == "adamw":
        return optax.chain(clip, moments, decay)
    if name == "lamb":
        return optax.chain(clip, moments, decay, scale_by_layer_trust_ratio())
    raise UserError(
        f"optimizer.name is {name!r}; choose one of {', '.join(OPTIMIZERS)}"
    )


def decay_without_gradient(name: str, weight_decay: float) -> float | None:
    """Returns what an update takes off a decayed row that never had a gradient.

    A share of the row, to be multiplied by the learning rate; None if it depends on
    more than the row, as LAMB's trust ratio does.

    Args:
        name: of the optimizer.
        weight_decay: its setting.
    """
    return {"adamw": weight_decay, "sgd": 0.0}.get(name)


def acting_on(
    learns: Callable[[Params], Any], optimizer: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Returns `optimizer` for those parameters alone of which `learns(params)` is True.

    The others get no update, and their gradients do not count in a clipped norm.

    Args:
        learns: gives a tree like the parameters, of arrays of bools that broadcast to
            them.
        optimizer: gradients -> direction.
    """

    def only(tree: Any, params: Params) -> Any:
        return jax.tree.map(lambda x, m: jnp.where(m, x, 0), tree, learns(params))

    def update_fn(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, state = optimizer.update(only(updates, params), state, params)
        return only(updates, params), state

    return optax.GradientTransformation(optimizer.init, update_fn)


def decay_mask(params: Params) -> Any:
    """Returns a tree of bools: whether weight decay acts on a parameter.

    Raises:
        ValueError: no weight-decay rule matches a parameter's name.
    """

    def decayed(path: tuple[Any, ...], _: Array) -> bool:
        name = path[-1].key
        if name not in DECAYED | EXEMPT:
            raise ValueError(f"no weight-decay rule for {jax.tree_util.keystr(path)}")
        return name in DECAYED

    return jax.tree_util.tree_map_with_path(decayed, params)


def scale_by_layer_trust_ratio() -> optax.GradientTransformation:
    """Returns LAMB's last step: each layer's update gets the norm of its weights.

    Layers stacked in one array are scaled one by one, and parameters exempt from
    decay are left as they are.

    Source: You et al. 2020, algorithm 2; exclusions as in google-research/bert's LAMB.
    """

    def scaled(path: tuple[Any, ...], update: Array, param: Array) -> Array:
        names = [entry.key for entry in path]
        if names[-1] in EXEMPT:
            return update
        axes = tuple(range(1 if STACKED in names else 0, param.ndim))
        size = jnp.sqrt((param**2).sum(axes, keepdims=True))
        length = jnp.sqrt((update**2).sum(axes, keepdims=True))
        known = (size > 0) & (length > 0)
        return update * jnp.where(known, size / jnp.where(known, length, 1.0), 1.0)

    def update_fn(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree_util.tree_map_with_path(scaled, updates, params), state

    return optax.GradientTransformation(lambda _: optax.EmptyState(), update_fn)
