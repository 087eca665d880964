"""What a folder of ours holds, as text: rows of a corpus, a run or a checkpoint.

amber inspect DIR --stream=en-fr --rows=3

From a checkout it is `launch/inspect_.py`: a file of the standard library's name beside
the other commands would stand in its place.
"""

from pathlib import Path

from absl import flags

from amber_jax.errors import UserError
from amber_jax.storage import location

ARGUMENTS = 1  # that are no flags: the folder

_STREAM = flags.DEFINE_string("stream", None, "the only one to show, as en or en-fr")
_ROWS = flags.DEFINE_integer("rows", 3, "of each stream", lower_bound=0)
_PIECES = flags.DEFINE_bool(
    "pieces", False, "shows pieces of the vocabulary instead of the text they spell"
)


def main(arguments: list[str]) -> None:
    from amber_jax.corpora.records import MANIFEST
    from amber_jax.training.inspection import inspect_run

    if len(arguments) != 2:
        raise UserError("wanted one folder, as in amber inspect DIR")
    folder = location(arguments[1])
    text = _corpus(folder) if (folder / MANIFEST).is_file() else inspect_run(folder)
    if text is None:
        raise UserError(
            f"{folder} is no corpus, run or checkpoint; wanted the folder of one"
        )
    print(text)


def _corpus(folder: Path) -> str:
    from amber_jax.corpora.rows_as_text import corpus_lines

    return "\n".join(
        corpus_lines(
            folder, stream=_STREAM.value, rows=_ROWS.value, pieces=_PIECES.value
        )
    )
