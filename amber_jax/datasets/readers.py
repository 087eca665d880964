"""Labeled examples out of files or TFDS: the format is told from the content."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from amber_jax.datasets import tfds_source
from amber_jax.datasets.examples import Read, TaggedSentence
from amber_jax.datasets.sentence_pairs import is_translated, read_pairs
from amber_jax.datasets.tagged_lines import read_tagged_lines
from amber_jax.datasets.universal_dependencies import WITHHELD, read_conllu
from amber_jax.errors import UserError
from amber_jax.storage import location
from amber_jax.tasks import TASKS

_LANGUAGE = "{language}"
_MAGIC = {*"*?["}  # of globs
_COMPRESSED = (".gz", ".bz2", ".xz")
_UDPOS_HINT = (
    "XTREME's own test files have no tags: use the treebanks; names of CoNLL-U files "
    "end in .conllu"
)


class Reader(NamedTuple):
    """How the examples of a task are read."""

    # (path, language=...) -> examples, and how many were left out, by reason
    file: Callable[..., tuple[list[Any], dict[str, int]]]
    tfds: Callable[..., list[Any]]  # (source, language=...) -> examples
    is_translated: Callable[[Any], bool] = lambda _: True  # else it teaches nothing


def _part_of_speech(
    path: Path, *, language: str, syntactic_words: bool = False
) -> tuple[list[TaggedSentence], dict[str, int]]:
    if _plain_suffix(path) == ".conllu":
        sentences, withheld = read_conllu(
            path, language=language, syntactic_words=syntactic_words
        )
        return sentences, {WITHHELD: withheld} if withheld else {}
    return _tagged_lines(path, language=language, task="udpos", hint=_UDPOS_HINT)


def _tagged_lines(
    path: Path, *, language: str, task: str, hint: str
) -> tuple[list[TaggedSentence], dict[str, int]]:
    labels, prefix = TASKS[task].labels, f"{language}:"
    return read_tagged_lines(path, tags=labels, hint=hint, prefix=prefix), {}


def _tags(task: str, *, hint: str) -> Reader:
    """Returns what reads `word<TAB>tag` lines; the hint is for lines without a tag."""
    return Reader(
        functools.partial(_tagged_lines, task=task, hint=hint),
        functools.partial(tfds_source.read_tags, task=task),
    )


def _pairs(task: str) -> Reader:
    return Reader(
        functools.partial(read_pairs, task=task),
        functools.partial(tfds_source.read_labeled_pairs, task=task),
    )


READERS = {
    "udpos": Reader(_part_of_speech, tfds_source.read_part_of_speech),
    "panx": _tags(
        "panx",
        hint="XTREME takes the tags out of its test files: use the data set's own",
    ),
    "pawsx": _pairs("pawsx")._replace(is_translated=is_translated),
    "xnli": _pairs("xnli"),
}


def read_examples(task: str, source: str, *, language: str, **options: bool) -> Read:
    """Returns the labeled examples of one language.

    Args:
        task: the name of one of `READERS`.
        source: a path or glob, in which `{language}` stands for the language; files
            are plain, .gz, .bz2, .xz or .zst. Several matches are read one after the
            other, ordered by file name as in XTREME. Or
            `tfds:NAME[/CONFIG]:SPLIT[@DATA_DIR]`, see `tfds_source`. Of udpos CoNLL-U
            (named .conllu) or `word<TAB>UPOS` lines, of panx `word<TAB>tag` lines,
            of the others XNLI, MultiNLI or PAWS-X in the original or XTREME's layout,
            or SICK as XNLI.
        language: ISO 639-1 code; also picks the rows of an original XNLI file.
        **options: of udpos, `syntactic_words`: whether the words of CoNLL-U are UD's
            syntactic words; if not, its surface tokens with one tag each, as XTREME
            has them.

    Raises:
        UserError: nothing matches; a line is wrong (its file and number are told); or
            a file has no example, or one label only: such labels are placeholders.
    """
    reader = READERS[task]
    if tfds_source.is_tfds(source):
        examples = reader.tfds(source, language=language, **options)
        refuse_placeholders(examples, source)
        return Read(examples, {}, [source.replace(_LANGUAGE, language)])
    read = Read([], {}, [])
    for path in matching_files(source, language):
        examples, dropped = reader.file(path, language=language, **options)
        if examples or not dropped:
            refuse_placeholders(examples, str(path))
        _add(read, path, examples, dropped)
    if not read.examples:
        raise UserError(
            f"{source}: the files of {language!r} hold {' and '.join(read.dropped)} "
            "and no examples; get whole ones from the data's owner"
        )
    return read


def matching_files(source: str, language: str) -> list[Path]:
    """Returns the files that `source` names for a language, ordered by file name.

    Raises:
        UserError: there is none.
    """
    pattern = location(source.replace(_LANGUAGE, language))
    root = next(folder for folder in pattern.parents if not _MAGIC & {*str(folder)})
    try:
        # A name that exists is meant, even if it has a [ in it.
        names = [pattern] if pattern.is_file() else root.glob(_below(pattern, root))
        paths = [path for path in names if path.is_file()]
    except UserError:  # of its storage
        raise
    except (OSError, ValueError):  # a name no file can have
        paths = []
    plain = {path.with_suffix("") if _is_compressed(path) else path for path in paths}
    if len(plain) < len(paths):
        raise UserError(
            f"{source}: finds a file both packed and unpacked among "
            f"{', '.join(sorted(path.name for path in paths))}; remove one of the two"
        )
    if not paths:
        raise UserError(
            f"{source}: no file {pattern} for the language {language!r}; correct the "
            "path or leave the language out"
        )
    return sorted(paths, key=lambda path: (path.name, path))


def refuse_placeholders(examples: Sequence[Any], where: str) -> None:
    """Refuses examples whose labels cannot be gold, or teach nothing.

    Raises:
        UserError: there is no label, or the same one everywhere, as in test sets that
            are published without labels.
    """
    labels = {label for example in examples for label in example.labels}
    if not labels:
        raise UserError(f"{where} has no examples; wanted labeled ones")
    if len(labels) == 1:
        raise UserError(
            f"{where}: every label is {labels.pop()!r}; these are placeholders, take "
            "the labels from the original data"
        )


def _below(pattern: Path, root: Path) -> str:
    return str(pattern.relative_to(root))


def _plain_suffix(path: Path) -> str:
    return PurePath(path.stem).suffix if _is_compressed(path) else path.suffix


def _is_compressed(path: Path) -> bool:
    return path.suffix in _COMPRESSED


def _add(read: Read, path: Path, examples: list, dropped: dict[str, int]) -> None:
    read.examples.extend(examples)
    read.files.append(str(path))
    for reason, count in dropped.items():
        read.dropped[reason] = read.dropped.get(reason, 0) + count
