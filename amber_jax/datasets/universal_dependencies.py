"""Part-of-speech sentences in CoNLL-U files.

CoNLL-U is read here and not by the `conllu` package: that package tells no line
numbers, splits columns at two spaces as well as at tabs, which moves the tags of such a
line unseen, and takes four times as long. A test compares the two.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from amber_jax.datasets.examples import TaggedSentence
from amber_jax.datasets.fused_words import Span, Word, fuse
from amber_jax.datasets.text_lines import excerpt, line_error, numbered_lines
from amber_jax.tasks import TASKS

WITHHELD = "sentences without words (all _)"

_COLUMNS = 10
_TAGS = TASKS["udpos"].labels
_RANGE = re.compile("([0-9]{1,6})-([0-9]{1,6})")
_EMPTY_NODE = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}")
_NUMBER = re.compile("[0-9]{1,6}")
_NO_FORM = "_"
_NON_JOINER = "\u200c"


class Tree(NamedTuple):
    """A sentence of a treebank: its syntactic words, and spans written as one."""

    words: list[Word]
    spans: list[Span]


def read_conllu(
    path: Path, *, language: str, syntactic_words: bool
) -> tuple[list[TaggedSentence], int]:
    """Returns the sentences of a CoNLL-U file, and how many were left out.

    Args:
        path: the file; empty nodes (ids such as 8.1) are passed over.
        language: ISO 639-1 code: XTREME tags fused words by language.
        syntactic_words: whether the words are UD's syntactic words as they are
            written. If not, they are what XTREME makes of them: each multi-word token
            is one word with one tag (`fused_words`), and words lose their spaces,
            outer white space and U+200C.

    Sentences without words are left out: those with as many `_` as words, or one less,
    which is how treebanks under foreign copyright are published.

    Raises:
        UserError: the file cannot be read, or a line breaks the format.

    Source: universaldependencies.org/format.html; google-research/xtreme,
    utils_preprocess.py and third_party/ud-conversion-tools.
    """
    sentences, withheld = [], 0
    for tree in _trees(path):
        words = [(word.form, word.tag) for word in tree.words]
        if not syntactic_words:
            words = [
                (form.strip(), tag) for form, tag in fuse(*tree, language=language)
            ]
        missing = sum(form == _NO_FORM for form, _ in words)
        if missing and missing >= len(words) - 1:
            withheld += 1
            continue
        if not syntactic_words:
            words = [(_joined(form), tag) for form, tag in words]
        forms, tags = zip(*words, strict=True)
        sentences.append(TaggedSentence(forms, tags))
    return sentences, withheld


def _joined(form: str) -> str:
    return form.replace(_NON_JOINER, "").replace(" ", "")


def _trees(path: Path) -> Iterator[Tree]:
    """Yields the sentences of a file; spans are checked to cover their words."""
    tree = Tree([], [])
    number = 0
    for number, line in numbered_lines(path):
        if not line:
            if tree.words or tree.spans:
                yield _closed(tree, path, number)
                tree = Tree([], [])
        elif not line.startswith("#"):
            _read_word(tree, line, path, number)
    if tree.words or tree.spans:
        yield _closed(tree, path, number)


def _closed(tree: Tree, path: Path, number: int) -> Tree:
    if tree.spans and tree.spans[-1].last > len(tree.words):
        span = tree.spans[-1]
        raise line_error(
            path,
            number,
            f"ends a sentence of {len(tree.words)} words, but {span.first}-{span.last} "
            "is one of its multi-word tokens",
        )
    return tree


def _read_word(tree: Tree, line: str, path: Path, number: int) -> None:
    """Adds one line to the sentence."""
    columns = line.split("\t")
    if len(columns) != _COLUMNS or not columns[1]:
        raise line_error(
            path,
            number,
            f"is {excerpt(line)}; wanted the {_COLUMNS} columns of CoNLL-U, separated "
            "by tabs, the second of them a word",
        )
    expected = len(tree.words) + 1
    if columns[0] == str(expected):
        _check_tag(columns[3], path, number)
        heads = _heads(columns, path, number)
        tree.words.append(Word(columns[1], columns[3], heads))
    elif match := _RANGE.fullmatch(columns[0]):
        first, last = int(match[1]), int(match[2])
        free = tree.spans[-1].last if tree.spans else 0
        if first != expected or last < first or first <= free:
            raise _id_error(columns[0], expected, path, number)
        tree.spans.append(Span(first, last, columns[1]))
    elif not _EMPTY_NODE.fullmatch(columns[0]):
        raise _id_error(columns[0], expected, path, number)


def _id_error(word_id: str, expected: int, path: Path, number: int) -> Exception:
    return line_error(
        path,
        number,
        f"has the id {excerpt(word_id)}; wanted {expected}, a range from {expected}, "
        "or an empty node",
    )


def _check_tag(tag: str, path: Path, number: int) -> None:
    if tag not in _TAGS:
        raise line_error(
            path,
            number,
            f"has the tag {excerpt(tag)} in column 4; wanted one of {' '.join(_TAGS)}",
        )


def _heads(columns: list[str], path: Path, number: int) -> tuple[int, ...]:
    """Returns the heads of a word, basic and enhanced; 0 is the root."""
    head, deps = columns[6], columns[8]
    if head == "_":
        head = "0"
    if not _NUMBER.fullmatch(head):
        raise line_error(
            path,
            number,
            f"has the head {excerpt(head)} in column 7; wanted a word's number or 0",
        )
    if deps == "_":
        return (int(head),)
    enhanced = (part.partition(":")[0] for part in deps.split("|"))
    # Heads that are empty nodes (8.1) are passed over like the nodes themselves.
    numbers = (int(node) for node in enhanced if _NUMBER.fullmatch(node))
    return (int(head), *numbers)
