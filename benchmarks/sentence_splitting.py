"""F1 of the ends of sentences in text joined from a table of many languages.

python -m benchmarks.sentence_splitting --table=ntrex.tsv.xz

The table is key<TAB>en<TAB>de..., a sentence a cell. Cells without a mark at their end,
and those in which two sentences plainly stand, are left out; so many of the others are
joined into one paragraph, with a space, or with none where the language has none.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.sentences import split_sentences
from amber_jax.corpora.text import read_many_way
from benchmarks import tables

# What ends a cell that is used; none of these may stand inside it, behind a long word.
_MARK = r"[.!?…。！？।؟۔]+[\"'”’»“‘」』）)]*"
_LAST = re.compile(rf"{_MARK}$")
_INSIDE = re.compile(rf"[。！？।]|[^\W\d_]{{4}}{_MARK}\s")
_JOINED = frozenset({"zh", "ja", "th"})


def ends(sentences: Sequence[str]) -> set[int]:
    """Returns where sentences end within a text, counted without spaces.

    The end of the text itself does not count.
    """
    total, positions = 0, set()
    for sentence in sentences[:-1]:
        total += len("".join(sentence.split()))
        positions.add(total)
    return positions


def is_sentence(cell: str) -> bool:
    """Returns whether a cell ends with a mark and holds no second sentence."""
    last = _LAST.search(cell)
    return last is not None and not _INSIDE.search(cell, 0, last.start())


def main(_: Sequence[str]) -> None:
    """Prints the table."""
    wanted = flags.FLAGS
    rows = [*read_many_way(Path(wanted.table))[1]]
    lines = []
    for language in wanted.languages:
        texts = [row[language] for row in rows if is_sentence(row.get(language, ""))]
        paragraphs = [
            texts[start : start + wanted.rows]
            for start in range(0, len(texts), wanted.rows)
        ]
        space = "" if language in _JOINED else " "
        joined = [space.join(paragraph) for paragraph in paragraphs]
        begin = time.process_time()
        split = [split_sentences(text, language) for text in joined]
        seconds = time.process_time() - begin
        right = num_predicted = real = 0
        for sentences, paragraph in zip(split, paragraphs, strict=True):
            predicted, gold = ends(sentences), ends(paragraph)
            right += len(predicted & gold)
            num_predicted += len(predicted)
            real += len(gold)
        size = sum(len(text.encode("utf-8")) for text in joined)
        lines.append(
            {
                "language": language,
                "sentences": len(texts),
                "precision": f"{right / max(1, num_predicted):.3f}",
                "recall": f"{right / real:.3f}",
                "F1": f"{2 * right / (num_predicted + real):.3f}",
                "MB/s": size / 1e6 / seconds,
            }
        )
    tables.show({"ends of sentences": lines}, wanted.json)


def define_flags() -> None:
    """Defines what the program is told."""
    flags.DEFINE_string("table", None, "of sentences", required=True)
    flags.DEFINE_list("languages", "en,de,zh,ja,ar,hi,ru,th", "columns of it")
    flags.DEFINE_integer("rows", 10, "that make a paragraph")
    tables.define_flag()


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
