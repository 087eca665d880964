"""What pretraining and fine-tuning alike may ask of optimizer and learning rate."""

from collections.abc import Iterator

from ml_collections import ConfigDict

from amber_jax.ranges import Choice, real, whole
from amber_jax.training.optimizer import OPTIMIZERS, SCHEDULES, WSD

OPTIMIZER_RANGES = {
    "name": Choice(OPTIMIZERS),
    "beta1": real(0, 1, without_high=True),
    "beta2": real(0, 1, without_high=True),
    # Of a parameter without a gradient the direction is 0 / epsilon, in float32.
    "epsilon": real(1e-30, 1),
    "weight_decay": real(0, 1),
    "clip_norm": real(0, 1e9),
}
SCHEDULE_RANGES = {
    "peak_learning_rate": real(0, 1, without_low=True, without_high=True),
    "warmup_steps": whole(0),
    "schedule": Choice(SCHEDULES),
    "decay_steps": whole(0),
}


def schedule_problems(config: ConfigDict) -> Iterator[str]:
    """Yields what contradicts itself in the settings of a learning rate."""
    if (config.schedule == WSD) != (config.decay_steps > 0):
        yield (
            f"decay_steps is {config.decay_steps} and schedule is {config.schedule!r}; "
            f"wanted steps of decay with {WSD!r}, and 0 with any other"
        )
