"""How many held sentences of each language are taken for another's.

python -m benchmarks.language_identification --data=DIR

DIR holds text as configs/corpus_folder.py wants it, in folders of folders too: files of
one language, mono/**/fr.txt.xz, and tables of many, parallel/*.tsv.xz.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.cleaning.identification import (
    LOWEST_THRESHOLD,
    Identification,
    label,
    library,
)
from amber_jax.corpora.text import clean_line, read_lines, read_many_way
from benchmarks import tables

_MAX_BYTES = 1 << 16


def held_sentences(
    data: Path, sentences: int, min_characters: int
) -> dict[str, list[str]]:
    """Returns language -> sentences, from each file evenly, the short ones left out."""
    held: dict[str, list[str]] = defaultdict(list)
    for path in sorted((data / "mono").rglob("*.txt*")):
        texts = [clean_line(raw, max_bytes=_MAX_BYTES)[0] for raw in read_lines(path)]
        held[path.name.split(".")[0]] += _some(texts, sentences, min_characters)
    for path in sorted((data / "parallel").glob("*.tsv*")):
        languages, rows = read_many_way(path)
        rows = [*rows]
        for language in languages:
            texts = [row.get(language) for row in rows]
            held[language] += _some(texts, sentences, min_characters)
    return dict(sorted(held.items()))


def judge(
    language: str, sentences: Sequence[str], identification: Identification
) -> tuple[float, float]:
    """Returns the shares taken for the right language, and surely for a wrong one.

    Surely is what the corpus builder wants before it leaves a sentence out.
    """
    predictions = [identification.most_probable(text) for text in sentences]
    own = label(language)
    right = sum(code == own for code, _ in predictions)
    wrong = sum(code != own and sure > LOWEST_THRESHOLD for code, sure in predictions)
    return right / len(sentences), wrong / len(sentences)


def main(_: Sequence[str]) -> None:
    """Prints the table and the speed."""
    wanted = flags.FLAGS
    held = held_sentences(Path(wanted.data), wanted.sentences, wanted.min_characters)
    langid = library()
    known = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE).labels
    identification = Identification()
    held = {code: texts for code, texts in held.items() if label(code) in known}
    begin = time.process_time()
    rows = []
    for language, sentences in held.items():
        right, wrong = judge(language, sentences, identification)
        rows.append(
            {
                "language": language,
                "sentences": len(sentences),
                "right": f"{right:.1%}",
                "left out": f"{wrong:.1%}",
            }
        )
    seconds = time.process_time() - begin
    tables.show({f"above a probability of {LOWEST_THRESHOLD}": rows}, wanted.json)
    count = sum(map(len, held.values()))
    print(f"\n{count / seconds:,.0f} sentences a second of one core")


def _some(texts: Sequence[str | None], count: int, min_characters: int) -> list[str]:
    long = [text for text in texts if text and len(text) >= min_characters]
    return long[:: max(1, len(long) // count)][:count]


def define_flags() -> None:
    """Defines what the program is told."""
    flags.DEFINE_string("data", None, "folder of held text", required=True)
    flags.DEFINE_integer("sentences", 100, "of each file and language")
    flags.DEFINE_integer("min_characters", 20, "of a sentence")
    tables.define_flag()


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
