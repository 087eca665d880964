"""data/sample holds what its README says, and nothing of eval is in train."""

import lzma
import re
import unicodedata
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[1] / "data" / "sample"
LANGUAGES = ["en", "es", "fr", "pt", "id", "ru", "ar", "hi", "zh"]
MAX_BYTES = 6_000_000


def data_files():
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    return sorted(path for path in files if path.name != "README.md")


def lines_of(path):
    raw = path.read_bytes()
    text = lzma.decompress(raw) if path.suffix == ".xz" else raw
    assert text.endswith(b"\n")
    return text.decode("utf-8").split("\n")[:-1]


def table(name):
    header, *rows = [line.split("\t") for line in lines_of(SAMPLE / name)]
    return [dict(zip(header, row, strict=True)) for row in rows]


def normalized(text):
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def sentences(rows):
    return {(lang, normalized(row[lang])) for row in rows for lang in LANGUAGES}


def documents(rows):
    return {row["key"].split(":")[0] for row in rows}


def readme_counts():
    text = (SAMPLE / "README.md").read_text(encoding="utf-8")
    counts = re.findall(r"^\| `(\S+)` \| ([\d,]+) \| ([\d,]+) \|$", text, re.M)
    return {
        name: tuple(int(n.replace(",", "")) for n in pair) for name, *pair in counts
    }


@pytest.fixture(scope="module")
def evaluation():
    return table("parallel_eval.tsv.xz")


@pytest.fixture(scope="module")
def training():
    return table("parallel_train.tsv.xz")


def test_the_sample_stays_small():
    assert sum(path.stat().st_size for path in data_files()) <= MAX_BYTES


def test_the_readme_counts_every_file_rightly():
    counted = {}
    for path in data_files():
        rows = len(lines_of(path)) - path.name.startswith("parallel")
        counted[path.relative_to(SAMPLE).as_posix()] = (rows, path.stat().st_size)
    assert readme_counts() == counted


def test_the_readme_names_licenses_and_no_machine_path():
    text = (SAMPLE / "README.md").read_text(encoding="utf-8")
    assert "CC0 1.0" in text and "CC BY 2.0 FR" in text and "tatoeba.org" in text
    assert not re.search(r"(^|[\s`(])/\w+/", text)


def test_evaluation_rows_are_300_and_complete(evaluation):
    assert len(evaluation) == 300
    assert all(row[language].strip() for row in evaluation for language in LANGUAGES)


def test_no_document_is_in_both_train_and_eval(training, evaluation):
    assert not documents(training) & documents(evaluation)


def test_no_sentence_of_eval_is_in_train_or_mono(training, evaluation):
    held_out = sentences(evaluation)
    assert not held_out & sentences(training)
    texts = {text for _, text in held_out}
    for language in LANGUAGES:
        mono = lines_of(SAMPLE / "mono" / f"{language}.txt.xz")
        assert not texts & {normalized(line) for line in mono}


def test_no_tatoeba_sentence_is_in_the_monolingual_text():
    held_out = set()
    for path in (SAMPLE / "tatoeba").iterdir():
        held_out |= {normalized(line) for line in lines_of(path)}
    for language in LANGUAGES:
        mono = lines_of(SAMPLE / "mono" / f"{language}.txt.xz")
        assert not held_out & {normalized(line) for line in mono}


def test_tatoeba_sides_have_equal_length_and_no_empty_line():
    for path in (SAMPLE / "tatoeba").glob("*.eng"):
        other = path.with_suffix(f".{path.suffixes[0][1:4]}")
        assert len(lines_of(path)) == len(lines_of(other)) == 300
        assert all(line.strip() for line in lines_of(path) + lines_of(other))
