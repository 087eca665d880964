"""Work mapped over machines by Apache Beam, which is imported only when it is used.

The pieces of work and the functions are those of `processes.mapper`; results are left
on disk, where every worker must see the same work folder under the same path.
"""

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
        UserError: Beam is not installed, or a worker raised it.
    """
    beam = _library()

    def run(function: Callable[[Any], Any], work: Iterable[Any]) -> Iterator[None]:
        if pieces := list(work):
            try:
                with beam.Pipeline(argv=list(options)) as pipeline:
                    created = pipeline | beam.Create(pieces, reshuffle=True)
                    created | beam.Map(function)
            except RuntimeError as error:  # of a worker, its traceback as text
                raise _in_one_sentence(error) from error
        return iter([None] * len(pieces))

    return run


def _library() -> ModuleType:
    with from_extra(
        "beam", "--beam needs Apache Beam", "leave --beam out to use local processes"
    ):
        import apache_beam
    return apache_beam


def _in_one_sentence(error: RuntimeError) -> Exception:
    """Returns the `UserError` that a worker's traceback ends with, or else `error`."""
    name = f"{UserError.__module__}.{UserError.__qualname__}: "
    _, raised, message = str(error).rpartition(name)
    return UserError(message.split("\n")[0]) if raised else error
