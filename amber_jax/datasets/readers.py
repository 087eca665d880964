"""Labelled examples out of files or TFDS: the format is told from the content."""

from collections.abc import Iterable
from pathlib import Path

from amber_jax.datasets import tfds_source
from amber_jax.datasets.examples import LabelledPair, Read, TaggedSentence
from amber_jax.datasets.sentence_pairs import PairTask, read_pairs
from amber_jax.datasets.universal_dependencies import (
    WITHHELD,
    read_conllu,
    read_tagged_lines,
)
from amber_jax.errors import UserError

_LANGUAGE = "{language}"
_COMPRESSED = (".gz", ".bz2", ".xz")


def read_tagged_sentences(
    source: str, *, language: str, syntactic_words: bool
) -> Read[TaggedSentence]:
    """Returns the part-of-speech sentences of one language.

    Args:
        source: a path or glob, in which `{language}` stands for the language: CoNLL-U
            (named .conllu) or `word<TAB>UPOS` lines, plain, .gz, .bz2 or .xz. Several
            matches are read one after the other, ordered by file name as in XTREME. Or
            `tfds:NAME[/CONFIG]:SPLIT[@DATA_DIR]`, see `tfds_source`.
        language: ISO 639-1 code.
        syntactic_words: of CoNLL-U, whether the words are UD's syntactic words; if
            not, its surface tokens with one tag each, as XTREME has them.

    Raises:
        UserError: nothing matches; a line is wrong (its file and number are told); or
            a file has no sentence, or one tag only: such tags are placeholders.
    """
    if tfds_source.is_tfds(source):
        read = tfds_source.read_tagged_sentences(
            source, language=language, syntactic_words=syntactic_words
        )
        refuse_placeholders(_tags(read.examples), source)
        return read
    read = Read([], {}, [])
    for path in matching_files(source, language):
        withheld = 0
        if _plain_suffix(path) == ".conllu":
            found, withheld = read_conllu(
                path, language=language, syntactic_words=syntactic_words
            )
        else:
            found = read_tagged_lines(path)
        if found or not withheld:
            refuse_placeholders(_tags(found), str(path))
        _add(read, path, found, {WITHHELD: withheld} if withheld else {})
    if not read.examples:
        raise UserError(
            f"{source}: the files of {language!r} hold {WITHHELD}; get the words from "
            "the treebank's owner"
        )
    return read


def read_labelled_pairs(
    source: str, *, language: str, task: PairTask
) -> Read[LabelledPair]:
    """Returns the sentence pairs of one language.

    Args:
        source: as in `read_tagged_sentences`; XNLI, MultiNLI or PAWS-X in the original
            or XTREME's layout, SICK as an XNLI source, or TFDS.
        language: ISO 639-1 code; also picks the rows of an original XNLI file.
        task: "xnli" or "pawsx"; which labels the pairs carry.

    Raises:
        UserError: as `read_tagged_sentences`.
    """
    if tfds_source.is_tfds(source):
        read = tfds_source.read_labelled_pairs(source, language=language, task=task)
        refuse_placeholders((pair.label for pair in read.examples), source)
        return read
    read = Read([], {}, [])
    for path in matching_files(source, language):
        pairs, dropped = read_pairs(path, language=language, task=task)
        refuse_placeholders((pair.label for pair in pairs), str(path))
        _add(read, path, pairs, dropped)
    return read


def matching_files(source: str, language: str) -> list[Path]:
    """Returns the files that `source` names for a language, ordered by file name.

    Raises:
        UserError: there is none.
    """
    pattern = Path(source.replace(_LANGUAGE, language))
    root = Path(pattern.anchor)
    try:
        # A name that exists is meant, even if it has a [ in it.
        names = [pattern] if pattern.is_file() else root.glob(_below(pattern, root))
        paths = [path for path in names if path.is_file()]
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


def refuse_placeholders(labels: Iterable[str], where: str) -> None:
    """Refuses examples whose labels cannot be gold, or teach nothing.

    Raises:
        UserError: there is no label, or the same one everywhere, as in test sets that
            are published without labels.
    """
    found = set(labels)
    if not found:
        raise UserError(f"{where} has no examples; wanted labelled ones")
    if len(found) == 1:
        raise UserError(
            f"{where}: every label is {found.pop()!r}; these are placeholders, take "
            "the labels from the original data"
        )


def _below(pattern: Path, root: Path) -> str:
    return str(pattern.relative_to(root))


def _tags(sentences: Iterable[TaggedSentence]) -> set[str]:
    return {tag for sentence in sentences for tag in sentence.tags}


def _plain_suffix(path: Path) -> str:
    return Path(path.stem).suffix if _is_compressed(path) else path.suffix


def _is_compressed(path: Path) -> bool:
    return path.suffix in _COMPRESSED


def _add(read: Read, path: Path, found: list, dropped: dict[str, int]) -> None:
    read.examples.extend(found)
    read.files.append(str(path))
    for reason, count in dropped.items():
        read.dropped[reason] = read.dropped.get(reason, 0) + count
