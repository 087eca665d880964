"""The flag --distributed, with which several processes run one command together."""

import contextlib
from collections.abc import Callable, Iterator

from absl import flags


def define_distributed() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Defines the flag; returns what opens a context with this process among others.

    Without the flag, it is alone there.
    """
    flag = flags.DEFINE_string(
        "distributed",
        None,
        "join other processes: auto (a TPU pod, GKE, Slurm), or HOST:PORT,COUNT,INDEX",
    )

    @contextlib.contextmanager
    def together() -> Iterator[None]:
        if flag.value is None:
            yield
            return
        from amber_jax.training.peers import joined  # brings JAX

        with joined(flag.value):
            yield

    return together
