"""Work mapped over machines by Apache Beam, which is imported only when it is used.

The pieces of work and the functions are those of `processes.mapper`; results are left
on disk, where every worker must see the same work folder under the same path.
"""

import contextlib
import io
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any

from amber_jax.corpora.processes import Mapper, mapper
from amber_jax.errors import UserError, WorkersLost, from_extra

# What a worker raised, in the text of its traceback: the last of these is it.
_RAISED = re.compile(rf"^{UserError.__module__}\.(\w+): (.+)$", re.MULTILINE)
_STEP = " [while running "  # Beam puts this behind a message


def any_mapper(
    processes: int, beam: Sequence[str]
) -> contextlib.AbstractContextManager[Mapper]:
    """Returns a context whose `map` is Beam's, or that of `processes.mapper`.

    Args:
        processes: workers of this machine.
        beam: options of a pipeline; none: processes.

    Raises:
        UserError: as `beam_mapper`.
    """
    if beam:
        return contextlib.nullcontext(beam_mapper(beam))
    return mapper(processes)


def beam_mapper(options: Sequence[str]) -> Mapper:
    """Returns a `map` that runs a pipeline to its end, then yields None for each piece.

    Args:
        options: of the pipeline, as in ("--runner=FlinkRunner", "--parallelism=64").

    Raises:
        UserError: Beam is not installed or refuses an option; later, what a worker
            raised.
        WorkersLost: later, a pipeline that ends without an error of a worker's work.
    """
    beam = _library()
    _check(beam, options)

    def run(function: Callable[[Any], Any], work: Iterable[Any]) -> Iterator[None]:
        if pieces := list(work):
            try:
                with beam.Pipeline(argv=list(options)) as pipeline:
                    created = pipeline | beam.Create(pieces, reshuffle=True)
                    created | beam.Map(function)
            except UserError as error:  # of a worker in this process
                raise UserError(str(error).partition(_STEP)[0]) from error
            except RuntimeError as error:  # of another, its traceback as text
                raise _in_one_sentence(error) from error
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


def _check(beam: ModuleType, options: Sequence[str]) -> None:
    """Raises a `UserError` for options that no pipeline can be made with."""
    refused = io.StringIO()
    try:
        with contextlib.redirect_stderr(refused):
            beam.Pipeline(argv=list(options))
    except (ValueError, SystemExit) as error:
        lines = refused.getvalue().strip().splitlines() or [str(error)]
        raise UserError(f"--beam={' '.join(options)}: {lines[-1]}") from error


def _in_one_sentence(error: RuntimeError) -> UserError:
    """Returns what a worker raised, or else that the pipeline has failed."""
    if raised := _RAISED.findall(str(error)):
        name, message = raised[-1]
        # All others are of disks, storage or workers: what was done is to stay.
        kind = UserError if name == UserError.__name__ else WorkersLost
        return kind(message.partition(_STEP)[0])
    return WorkersLost(
        f"the pipeline of --beam failed ({' '.join(str(error).split())[-500:]}); "
        "correct what it tells, the same command then goes on where it was"
    )
