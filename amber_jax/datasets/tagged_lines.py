"""Sentences of `word<TAB>tag` lines, an empty line between: XTREME's, and PANX's own.

Paris<TAB>B-LOC        en:Paris<TAB>B-LOC
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from amber_jax.datasets.examples import TaggedSentence
from amber_jax.datasets.text_lines import excerpt, line_error, numbered_lines


def read_tagged_lines(
    path: Path, *, tags: Collection[str], hint: str, prefix: str = ""
) -> list[TaggedSentence]:
    """Returns the sentences of a file.

    Args:
        path: the file.
        tags: those that there are.
        hint: what to do if a line has another tag, or none.
        prefix: left out of every word, if all words of the file begin with it, as
            those of the WikiAnn data set do with their language.

    Raises:
        UserError: the file cannot be read, or a line is not a word and one of `tags`.

    Source: google-research/xtreme, utils_preprocess.py (the prefix).
    """
    sentences = list(_sentences(path, tags, hint))
    words = [word for sentence in sentences for word in sentence.words]
    if not prefix or not all(word.startswith(prefix) for word in words):
        return sentences
    return [
        sentence._replace(
            words=tuple(word.removeprefix(prefix).strip() for word in sentence.words)
        )
        for sentence in sentences
    ]


def _sentences(
    path: Path, tags: Collection[str], hint: str
) -> Iterator[TaggedSentence]:
    words: list[tuple[str, str]] = []
    for number, line in numbered_lines(path):
        if line:
            words.append(_tagged_word(path, number, line, tags, hint))
        elif words:
            yield TaggedSentence(*zip(*words, strict=True))
            words = []
    if words:
        yield TaggedSentence(*zip(*words, strict=True))


def _tagged_word(
    path: Path, number: int, line: str, tags: Collection[str], hint: str
) -> tuple[str, str]:
    word, *columns = line.split("\t")
    if len(columns) != 1 or columns[0] not in tags:
        raise line_error(
            path,
            number,
            f"is {excerpt(line)}; wanted a word, a tab and one of {' '.join(tags)} "
            f"({hint})",
        )
    return word, columns[0]
