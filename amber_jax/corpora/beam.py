"""Work mapped over machines by Apache Beam, which is imported only when it is used.

The pieces of work and the functions are those of `processes.mapper`; results are left
on disk, where every worker must see the same work folder under the same path.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any

from amber_jax.corpora.processes import Mapper
from amber_jax.errors import UserError, from_extra


def beam_mapper(options: Sequence[str]) -> Mapper:
    """Returns a `map` that runs a pipeline to its end, then yields None for each piece.

    Args:
        options: of the pipeline, as in ("--runner=FlinkRunner", "--parallelism=64").

    Raises:
        UserError: Beam is not installed or refuses an option, or a worker raised it.
    """
    beam = _library()

    def run(function: Callable[[Any], Any], work: Iterable[Any]) -> Iterator[None]:
        if pieces := list(work):
            try:
                with beam.Pipeline(argv=list(options)) as pipeline:
                    created = pipeline | beam.Create(pieces, reshuffle=True)
                    created | beam.Map(function)
            except UserError as error:  # of a worker in this process
                raise UserError(_without_step(str(error))) from error
            except RuntimeError as error:  # of another, its traceback as text
                raise _in_one_sentence(error) from error
            except ValueError as error:
                raise UserError(f"--beam={' '.join(options)}: {error}") from error
        return iter([None] * len(pieces))

    return run


def _library() -> ModuleType:
    with from_extra(
        "beam", "--beam needs Apache Beam", "leave --beam out to use local processes"
    ):
        import apache_beam
    # What a worker raises comes to us, its traceback with it; it need not be logged.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    return apache_beam


def _in_one_sentence(error: RuntimeError) -> Exception:
    """Returns the `UserError` that a worker's traceback ends with, or else `error`."""
    name = f"{UserError.__module__}.{UserError.__qualname__}: "
    _, raised, message = str(error).rpartition(name)
    return UserError(_without_step(message.split("\n")[0])) if raised else error


def _without_step(message: str) -> str:
    """Returns a message without what Beam puts behind it."""
    return message.partition(" [while running ")[0]
