"""`--keep_pieces_of`: a smaller model that is the same on the corpus's text."""

import json

import library_folders
import numpy as np
import pytest
import tiny_checkpoint
from quiet_build import silent

import amber_jax
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.packing import taken_apart
from amber_jax.corpora.piece_counts import piece_counts
from amber_jax.corpora.recipe import Recipe
from amber_jax.corpora.records import open_corpus, read_rows
from amber_jax.corpora.sources import TextSource
from amber_jax.corpora.unit_rows import BuildOptions
from amber_jax.errors import UserError
from amber_jax.tokenization import load_tokenizer

OPTIONS = BuildOptions(
    row_length=64,
    max_pairs=4,
    rows_per_shard=4,
    alpha=0.7,
    max_side_tokens=30,
    cut_long_sides=True,
    max_length_ratio=4.0,
    max_line_bytes=1 << 16,
    unit_bytes=1 << 20,
    parallel_as_text=True,
)
LINES = [f"{number} words and числа" for number in range(0, 400, 7)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with XLM-R's kind of tokenizer, and a corpus built with it."""
    folder = tmp_path_factory.mktemp("cut")
    (folder / "tokenizer").mkdir()
    text = [f"{number} words and числа и слова 和 شيء" for number in range(400)]
    library_folders.write_fairseq(folder / "tokenizer", text, vocab_size=150)
    tokenizer = load_tokenizer(folder / "tokenizer")
    tiny_checkpoint.write(folder / "model", tokenizer, padding=9)
    build(folder, "corpus", LINES)
    return folder


def build(folder, name, lines):
    path = folder / f"{name}.txt"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    source = TextSource("en", path)
    recipe = Recipe((source,), (), folder / "tokenizer", OPTIONS)
    build_corpus(recipe, folder / name, processes=1, report=silent, note=str)
    return folder / name


@pytest.fixture(scope="module")
def cut(folder, convert):
    """The smaller model, and what was told."""
    messages = convert(
        f"amber:{folder / 'model'}",
        f"amber:{folder / 'small'}",
        keep_pieces_of=folder / "corpus",
    )
    return amber_jax.load(folder / "small"), messages


def test_every_token_of_the_corpus_is_counted(folder):
    corpus = open_corpus(folder / "corpus", verify=False)
    counts = piece_counts(corpus)
    (stream,) = corpus.streams["mono"].values()
    rows = read_rows(corpus, stream, np.arange(stream.rows))
    expected = np.zeros(corpus.vocab_size, int)
    for pair in taken_apart(rows, row_length=64, separators=2):
        for side in pair:
            np.add.at(expected, side, 1)
    special = load_tokenizer(folder / "tokenizer").special
    words = np.setdiff1d(np.arange(corpus.vocab_size), special.ids())
    assert counts[words].tolist() == expected[words].tolist()
    assert counts.sum() == stream.real_tokens
    assert counts[special.pad] == counts[special.mask] == 0


def test_vectors_and_logits_on_its_text_are_the_same(folder, cut):
    whole, (small, messages) = amber_jax.load(folder / "model"), cut
    assert small.config.vocab_size == small.tokenizer.vocab_size
    assert small.config.vocab_size < whole.tokenizer.vocab_size
    assert any("0 of the corpus's" in sentence for sentence in messages)
    np.testing.assert_allclose(small.encode(LINES), whole.encode(LINES), atol=1e-6)
    text = "7 words and <mask>"
    (few,) = small.fill_mask(text, top_k=small.config.vocab_size)
    (many,) = whole.fill_mask(text, top_k=10**6)
    shares, expected = dict(few), dict(many)
    ratios = np.array([shares[piece] / expected[piece] for piece in shares])
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)  # one smaller softmax


def test_the_smaller_model_is_a_folder_of_its_own(folder, cut, convert, tmp_path):
    convert(f"amber:{folder / 'small'}", f"hf:{tmp_path / 'hf'}")
    size = json.loads((tmp_path / "hf" / "config.json").read_text())["vocab_size"]
    assert size == cut[0].tokenizer.vocab_size
    again = load_tokenizer(tmp_path / "hf")
    assert again.fingerprint == cut[0].tokenizer.fingerprint


def test_what_a_minimum_count_loses_is_told(folder, convert, tmp_path):
    messages = convert(
        f"amber:{folder / 'model'}",
        f"amber:{tmp_path / 'small'}",
        keep_pieces_of=folder / "corpus",
        min_piece_count=5,
    )
    counts = piece_counts(open_corpus(folder / "corpus", verify=False))
    tokenizer = load_tokenizer(folder / "tokenizer")
    kept = {*tokenizer.special.ids(), *tokenizer.indispensable()}
    rare = [i for i in np.flatnonzero(counts < 5) if i not in kept]
    lost = int(counts[rare].sum())
    assert lost
    sentence = (
        f"{lost:,} of the corpus's {counts.sum():,} tokens ({lost / counts.sum():.3%})"
    )
    assert any(sentence in words for words in messages)


def test_a_corpus_of_another_tokenizer_is_refused(folder, wordpiece, convert, tmp_path):
    other = tiny_checkpoint.write(tmp_path / "other", wordpiece)
    with pytest.raises(UserError, match="built with another tokenizer"):
        convert(
            f"amber:{other}",
            f"amber:{tmp_path / 'small'}",
            keep_pieces_of=folder / "corpus",
        )
    assert not (tmp_path / "small").exists()
