"""What a folder of ours holds, as text: the rows of a corpus.

amber inspect DIR --stream=en-fr --rows=3

From a checkout it is `launch/inspect_.py`: a file of the standard library's name beside
the other commands would stand in its place.
"""

from collections.abc import Iterator
from pathlib import Path

from absl import flags

from amber_jax.errors import UserError

ARGUMENTS = 1  # that are no flags: the folder

_STREAM = flags.DEFINE_string("stream", None, "the only one to show, as en or en-fr")
_ROWS = flags.DEFINE_integer("rows", 3, "of each stream", lower_bound=0)
_PIECES = flags.DEFINE_bool(
    "pieces", False, "shows pieces of the vocabulary instead of the text they spell"
)


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        raise UserError("wanted one folder, as in amber inspect DIR")
    folder = Path(arguments[1])
    for name, lines in _READERS.items():
        if (folder / name).is_file():
            for line in lines(folder):
                print(line)
            return
    raise UserError(
        f"{folder} holds none of {', '.join(_READERS)}; wanted the folder of a "
        "finished corpus"
    )


def _corpus(folder: Path) -> Iterator[str]:
    from amber_jax.corpora.rows_as_text import corpus_lines

    return corpus_lines(
        folder, stream=_STREAM.value, rows=_ROWS.value, pieces=_PIECES.value
    )


# The file that tells what a folder is -> how it is shown.
_READERS = {"manifest.json": _corpus}
