"""Parquet and Arrow, and folders: data sets that `datasets` saved, and others.

`datasets` itself is not needed: what it saves are Arrow streams that `state.json`
names, beside which a stray `cache-*.arrow` can lie.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from amber_jax.errors import UserError, from_extra
from amber_jax.files import read_json

SUFFIXES = frozenset({".parquet", ".arrow"})
STATE, SPLITS = "state.json", "dataset_dict.json"
_TRAIN = "train"  # the split that is read, if there are several
_BATCH_ROWS = 512
_ARROW_FILE = b"ARROW1"  # a stream has no magic number


def data_files(folder: Path) -> tuple[Path, ...]:
    """Returns the files of a data set's folder, in order.

    That is what `state.json` names, or else its Parquet files, those whose names begin
    with "train" if there are any, or else WikiExtractor's AA/wiki_00 and so on.

    Raises:
        UserError: it has no such files, or is damaged.
    """
    if (folder / SPLITS).is_file():
        folder = folder / _TRAIN
    if (folder / STATE).is_file():
        state = read_json(folder / STATE, "save the data set again")
        try:
            named = tuple(folder / file["filename"] for file in state["_data_files"])
        except (KeyError, TypeError):
            named = ()
        if not named:
            raise UserError(
                f"{folder / STATE}: does not name the files of a data set; "
                "save the data set again"
            )
        return named
    files = sorted(folder.glob("*.parquet"))
    training = [path for path in files if path.name.startswith(_TRAIN)]
    extracted = sorted(folder.glob("*/wiki_[0-9]*"))
    if not files and not extracted:
        raise UserError(
            f"{folder}: no {STATE} with Arrow files and no Parquet files in it; wanted "
            "a data set saved by `datasets` or downloaded as Parquet, or the output of "
            "WikiExtractor"
        )
    return tuple(training or files or extracted)


def read_columns(path: Path, names: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yields the rows of a Parquet or Arrow file, with these columns alone.

    Args:
        path: of the file.
        names: columns to read, as far as it has them.

    Raises:
        UserError: it cannot be read to its end, or has none of these columns.
    """
    with from_extra("corpora", f"{path} is read with pyarrow"):
        import pyarrow
    try:
        for batch in _batches(path, names):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"{path}: cannot be read to its end ({reason}); "
            "give a complete Parquet or Arrow file"
        ) from error


def _batches(path: Path, names: Collection[str]) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    if path.suffix.lower() == ".parquet":
        with path.open("rb") as stored, pyarrow.parquet.ParquetFile(stored) as file:
            wanted = _wanted(path, file.schema_arrow.names, names)
            yield from file.iter_batches(_BATCH_ROWS, columns=wanted)
        return
    with path.open("rb") as stored:
        is_file = stored.read(len(_ARROW_FILE)) == _ARROW_FILE
        stored.seek(0)
        if is_file:
            file = pyarrow.ipc.open_file(stored)
            wanted = _wanted(path, file.schema.names, names)
            for number in range(file.num_record_batches):
                yield from _rows(file.get_batch(number).select(wanted))
            return
        stream = pyarrow.ipc.open_stream(stored)
        wanted = _wanted(path, stream.schema.names, names)
        for batch in stream:
            yield from _rows(batch.select(wanted))


def _rows(batch: Any) -> Iterator[Any]:
    for start in range(0, batch.num_rows, _BATCH_ROWS):
        yield batch.slice(start, _BATCH_ROWS)


def _wanted(path: Path, columns: list[str], names: Collection[str]) -> list[str]:
    wanted = [column for column in columns if column in names]
    if not wanted:
        raise UserError(
            f"{path}: has the columns {', '.join(columns)}; wanted "
            f"{' or '.join(sorted(names))}, so name the right one in the config"
        )
    return wanted
