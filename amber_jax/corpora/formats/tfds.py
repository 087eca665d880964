"""Data sets that TensorFlow Datasets prepared, read from their folder.

    DATA_DIR/wikipedia/20230601.fr/1.0.0        text
    DATA_DIR/wiki40b/fr/1.3.0                   text, with marks of its own
    DATA_DIR/para_crawl/enbg/1.2.0              pairs of translations
    DATA_DIR/wmt19_translate/de-en/1.0.0

The library is imported when an example is read: it takes seconds.

Source: TFDS' guide to splits; its description of wiki40b for the marks.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from amber_jax.errors import UserError, from_extra
from amber_jax.files import read_json
from amber_jax.storage import local_copy

Example = Mapping[str, Any]

PART_EXAMPLES = 1 << 17  # of what one worker reads
INFO, FEATURES = "dataset_info.json", "features.json"
_ADVICE = "prepare the data set again"
_PARAGRAPH, _NEW_LINE = "_START_PARAGRAPH_", "_NEWLINE_"
_OTHER_MARK = re.compile("_START_[A-Z]+_")


def version_folder(path: Path) -> Path:
    """Returns the folder of a prepared data set: `path`, or the last version in it.

    Raises:
        UserError: there is none.
    """
    if (path / INFO).is_file():
        return path
    versions = sorted(
        (info.parent for info in path.glob(f"*/{INFO}")),
        key=lambda folder: [
            int(part) if part.isdigit() else -1 for part in folder.name.split(".")
        ],
    )
    if not versions:
        raise UserError(
            f"{path}: holds no {INFO}; wanted the folder of a data set that TFDS "
            "prepared, as in DATA_DIR/wikipedia/20230601.fr/1.0.0"
        )
    return versions[-1]


def split_files(path: Path, split: str) -> tuple[Path, ...]:
    """Returns the files of a split, or of the one it is part of; descriptions first.

    Raises:
        UserError: there is none.
    """
    folder = version_folder(path)
    name = split.partition("[")[0]
    data = sorted(folder.glob(f"*-{name}.*"))
    if not data:
        raise UserError(
            f"{folder}: holds no files of the split {name!r}; correct the config"
        )
    return folder / INFO, folder / FEATURES, *data


def split_parts(path: Path, split: str) -> list[str]:
    """Returns a split in parts that are read on their own, by TFDS' names for them.

        train               train[0:131072], train[131072:200000]
        train[:10%]         train[:10%]

    Raises:
        UserError: the data set does not say how long it is, or is empty.
    """
    if "[" in split:
        return [split]
    info = version_folder(path) / INFO
    try:
        (lengths,) = (
            [int(length) for length in named["shardLengths"]]
            for named in read_json(info, _ADVICE)["splits"]
            if named["name"] == split
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{info}: tells no lengths of {split!r}; {_ADVICE}") from error
    if not sum(lengths):
        raise UserError(f"{info}: {split!r} has no examples; leave it out")
    bounds = [*range(0, sum(lengths), PART_EXAMPLES), sum(lengths)]
    return [f"{split}[{begin}:{end}]" for begin, end in itertools.pairwise(bounds)]


def translated_languages(path: Path) -> tuple[str, ...]:
    """Returns the languages of a prepared data set of translations; () of others.

    Raises:
        UserError: its description cannot be read.
    """
    features = read_json(version_folder(path) / FEATURES, _ADVICE)
    features = features if isinstance(features, dict) else {}
    inner = features.get("featuresDict")
    inner = inner.get("features") if isinstance(inner, dict) else None
    for feature in (features, *(inner.values() if isinstance(inner, dict) else ())):
        translation = feature.get("translation") if isinstance(feature, dict) else None
        if isinstance(translation, dict):
            return tuple(map(str, translation.get("languages") or ()))
    return ()


def read_examples(path: Path, split: str) -> Iterator[Example]:
    """Yields the examples of a split as TFDS gives them, in the order stored.

    Raises:
        UserError: TFDS is not installed, or cannot read the data set.
    """
    with from_extra("train", f"{path} is read with TensorFlow Datasets"):
        import tensorflow_datasets as tfds
    try:
        builder = tfds.builder_from_directory(local_copy(version_folder(path)))
        examples = builder.as_dataset(
            split=split,
            shuffle_files=False,
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        yield from tfds.as_numpy(examples)
    # Whatever TFDS or TensorFlow raise: there is no common class.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(
            f"{path}: TFDS cannot read {split} ({reason}); {_ADVICE}"
        ) from error


def example_text(example: Example, feature: str) -> str | None:
    """Returns the text of an example; None if it has no such feature.

    Of wiki40b's articles only the paragraphs, one a line.
    """
    value = example.get(feature)
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str) or _PARAGRAPH not in text:
        return text if isinstance(text, str) else None
    paragraphs = (
        _OTHER_MARK.split(part)[0].replace(_NEW_LINE, "\n")
        for part in text.split(_PARAGRAPH)[1:]
    )
    return "\n".join(paragraphs)


def example_translations(example: Example) -> dict[str, str]:
    """Returns the texts of an example by language, wherever in it they stand."""
    nested = (value for value in example.values() if isinstance(value, Mapping))
    texts: dict[str, str] = {}
    for translations in (example, *nested):
        items = translations.items()
        if {"language", "translation"} <= translations.keys():
            items = zip(
                translations["language"], translations["translation"], strict=True
            )
        for language, text in items:
            if isinstance(text, bytes):
                code = language.decode() if isinstance(language, bytes) else language
                texts.setdefault(code, text.decode("utf-8", "replace"))
    return texts
