"""Files of sentences: to vectors, and to the translations among them."""

import gzip
import lzma
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoint
import tiny_run
from hypothesis import given, settings
from hypothesis import strategies as st

import amber_jax
from amber_jax.commands import embed
from amber_jax.commands.embed import embed_file
from amber_jax.commands.mine import Search, mine_files
from amber_jax.errors import UserError
from amber_jax.search.mining import MARGINS, mutual_best
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import SPECIAL_PIECES

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample" / "parallel_eval.tsv.xz"
SRC = b"1 2 3\n4 5\r\n\n1  2 3\ncaf\xe9\n6 7 8 9\n10 11\n"
TGT = b"6 7 8 9 0\n4 5 , 4 5\n30 31 32\n1 2 3 1 2 3\n4 5 , 4 5\n"
RATIO = Search()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    tokenizer = tiny_run.save_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return tiny_checkpoint.write(tmp_path_factory.mktemp("run") / "7", tokenizer)


@pytest.fixture(scope="module")
def model(checkpoint):
    return amber_jax.load(checkpoint)


def naive(src, tgt, margin, neighbors, threshold=None):
    """The pairs from the whole matrix of scores, in float64."""
    src, tgt = (
        side / np.linalg.norm(side.astype(float), axis=1, keepdims=True)
        for side in (src, tgt)
    )
    cosine = src @ tgt.T
    means = [
        np.sort(one, axis=1)[:, ::-1][:, :neighbors].mean(1)
        for one in (cosine, cosine.T)
    ]
    mean = (means[0][:, None] + means[1][None]) / 2
    score = {"ratio": cosine / mean, "distance": cosine - mean, "absolute": cosine}
    score = score[margin]
    pairs = [
        (score[i, j], i, j)
        for i, j in enumerate(score.argmax(1))
        if score[:, j].argmax() == i and (threshold is None or score[i, j] >= threshold)
    ]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1]))


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize(("sizes", "neighbors"), [((1, 5), 4), ((90, 40), 3)])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_pairs_are_those_of_the_whole_matrix(margin, sizes, neighbors, seed):
    random = np.random.default_rng(seed)
    src, tgt = (random.random((size, 8), np.float32) for size in sizes)
    for threshold in (None, 0.9):
        wanted = naive(src, tgt, margin, neighbors, threshold)
        found = mutual_best(
            src, tgt, margin=margin, neighbors=neighbors, threshold=threshold
        )
        assert found.src.tolist() == [i for _, i, _ in wanted]
        assert found.tgt.tolist() == [j for _, _, j in wanted]
        scores = [score for score, _, _ in wanted]
        np.testing.assert_allclose(found.scores, scores, rtol=1e-4, atol=1e-5)


def test_planted_translations_are_found_among_sentences_without_one():
    random = np.random.default_rng(0)
    src = random.normal(size=(500, 32)).astype(np.float32)
    tgt = random.normal(size=(700, 32)).astype(np.float32)
    planted = random.choice(700, 400, replace=False)
    tgt[planted] = src[:400] + random.normal(0, 0.2, (400, 32))
    found = mutual_best(src, tgt, margin="ratio", neighbors=4, threshold=1.4)
    order = np.argsort(found.src)
    np.testing.assert_array_equal(found.src[order], np.arange(400))
    np.testing.assert_array_equal(found.tgt[order], planted)


def test_every_sentence_is_in_one_pair_even_if_vectors_are_equal():
    same = np.ones((5, 3), np.float32)
    found = mutual_best(same, same[:3], margin="ratio", neighbors=4, threshold=None)
    assert (found.src.tolist(), found.tgt.tolist()) == ([0], [0])


@pytest.fixture
def mined(checkpoint, tmp_path):
    """A function: contents of two files to the lines written and what was told."""

    def run(src, tgt, vector=None, search=RATIO):
        told = []
        for name, content in (("src.txt", src), ("tgt.txt", tgt)):
            (tmp_path / name).write_bytes(content)
        paths = [str(tmp_path / name) for name in ("src.txt", "tgt.txt", "out.tsv")]
        try:
            mine_files(
                checkpoint, *paths, search=search, note=told.append, **(vector or {})
            )
        finally:
            left = {path.name for path in tmp_path.iterdir()}
            assert left <= {"src.txt", "tgt.txt", "out.tsv"}
        lines = Path(paths[2]).read_text("utf-8").split("\n")
        assert lines.pop() == ""
        return [line.split("\t") for line in lines], told

    return run


@pytest.mark.parametrize(
    ("vector", "search"),
    [
        ({}, Search()),
        ({"layer": 0}, Search("distance", 2)),
        ({"pooling": "first"}, Search("absolute", threshold=0.5)),
    ],
)
def test_two_files_become_pairs_that_fall_by_score(mined, model, vector, search):
    src = ["1 2 3", "4 5", "6 7 8 9", "10 11"]
    tgt = ["6 7 8 9 0", "4 5 , 4 5", "30 31 32", "1 2 3 1 2 3"]
    lines, told = mined(SRC, TGT, vector, search)
    vectors = [model.encode(side, **vector) for side in (src, tgt)]
    pairs = naive(*vectors, search.margin, search.neighbors, search.threshold)
    assert [(x, y) for _, x, y in lines] == [(src[i], tgt[j]) for _, i, j in pairs]
    np.testing.assert_allclose(
        [float(score) for score, _, _ in lines], [s for s, _, _ in pairs], atol=1e-4
    )
    assert any(
        "4 different sentences; unusable lines: 1 empty, 1 not_utf8" in one
        for one in told
    )
    assert any("4 different sentences; unusable lines: none" in one for one in told)
    assert "comparing 4 x 4 sentences" in told


@pytest.mark.parametrize(
    ("src", "search", "sentence"),
    [
        (b"\n \n", Search(), r"src.txt: has no usable line \(2 empty\)"),
        (b"1\n", Search(margin="best"), "--margin is 'best', not one of ratio"),
        (b"1\n", Search(neighbors=0), "--neighbors is 0"),
    ],
)
def test_what_cannot_be_mined_is_refused_and_leaves_nothing(
    mined, tmp_path, src, search, sentence
):
    with pytest.raises(UserError, match=sentence):
        mined(src, b"1\n", search=search)
    assert not (tmp_path / "out.tsv").exists()


def test_sentences_of_the_sample_find_their_shortened_selves(tmp_path):
    """The first thousand words of the sample, each its own vector: a bag of words."""
    with lzma.open(SAMPLE, "rt", encoding="utf-8") as file:
        head, *rows = (line.rstrip("\n").split("\t") for line in file)
    texts = [row[head.index("en")] for row in rows]
    texts = [text for text in texts if 8 < len(text.split()) < 30]
    counts = Counter(word for text in texts for word in text.split() if word.isalpha())
    words = [word for word, _ in counts.most_common(1000)]
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join([*SPECIAL_PIECES, ".", *words]) + "\n", "utf-8")
    folder = tiny_checkpoint.write(tmp_path / "model", load_tokenizer(vocabulary))
    short = [" ".join(text.split()[:-2]) for text in texts]
    for name, side in (("a", texts), ("b", short[::-1])):
        (tmp_path / name).write_text("\n".join(side) + "\n", "utf-8")
    mine_files(
        folder,
        *(str(tmp_path / name) for name in ("a", "b", "out.tsv")),
        search=Search(),
        layer=0,
        note=str,
    )
    found = (tmp_path / "out.tsv").read_text("utf-8").splitlines()
    pairs = {tuple(line.split("\t")[1:]) for line in found}
    planted = set(zip(texts, short, strict=True))
    assert len(texts) > 150
    assert len(pairs & planted) > 0.97 * len(pairs)
    assert len(pairs & planted) > 0.85 * len(planted)


def embedded(checkpoint, source, tmp_path, **options):
    output, told = tmp_path / "vectors.npy", []
    embed_file(checkpoint, str(source), str(output), note=told.append, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [source.name, output.name]
    )
    return np.load(output), told


@pytest.mark.parametrize(
    "options", [{}, {"layer": 1, "pooling": "first", "normalize": True}]
)
def test_a_file_becomes_a_vector_for_every_line(
    checkpoint, model, tmp_path, monkeypatch, options
):
    monkeypatch.setattr(embed, "_WINDOW", 3)
    source = tmp_path / "lines.txt.gz"
    long = b"1 " * 100 + b"\n"
    source.write_bytes(gzip.compress(SRC + long))
    vectors, told = embedded(checkpoint, source, tmp_path, **options)
    lines = ["1 2 3", "4 5", "", "1 2 3", "", "6 7 8 9", "10 11", "1 " * 62]
    with pytest.warns(UserWarning, match="without any piece: 2"):
        expected = model.encode(lines, **options)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert told[1].startswith("8 lines -> ")
    assert told[1].endswith("[8, 16] float32; unusable: 1 empty, 1 not_utf8")
    assert told[2].startswith("sentences without any piece: 2")
    assert told[3] == "sentences cut at the model's 64 positions: 1"


def test_an_empty_file_becomes_no_vectors(checkpoint, tmp_path):
    source = tmp_path / "none.txt"
    source.write_bytes(b"")
    vectors, _ = embedded(checkpoint, source, tmp_path)
    assert vectors.shape == (0, 16)


def test_a_file_that_ends_too_early_leaves_no_vectors(
    checkpoint, tmp_path, monkeypatch
):
    source = tmp_path / "lines.gz"
    source.write_bytes(gzip.compress(SRC)[:-9])
    with pytest.raises(UserError, match=r"lines.gz: cannot be read to its end"):
        embedded(checkpoint, source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lines.gz"]


@pytest.mark.parametrize("output", ["no/such/folder.npy", "."])
def test_an_output_that_cannot_be_written_is_told(checkpoint, tmp_path, output):
    source = tmp_path / "one.txt"
    source.write_bytes(b"1\n")
    with pytest.raises(UserError, match="cannot be written"):
        embed_file(checkpoint, str(source), str(tmp_path / output), note=str)


def started(name, *arguments):
    return subprocess.Popen(
        [sys.executable, f"launch/{name}.py", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("embed", ["--input=-"]),
        ("align", ["--input=-"]),
        ("mine", ["--src=-", "--tgt=none.txt"]),
    ],
)
def test_a_signal_leaves_nothing_of_what_was_begun(
    checkpoint, tmp_path, name, arguments
):
    output = tmp_path / "out"
    process = started(
        name, f"--checkpoint={checkpoint}", f"--output={output}", *arguments
    )
    process.stdin.write(b"1\t2\n")
    process.stdin.flush()
    while not list(tmp_path.iterdir()) and process.poll() is None:
        time.sleep(0.05)
    process.terminate()
    _, errors = process.communicate()
    assert process.returncode == 143
    assert errors.decode().splitlines()[-1] == "stopped by SIGTERM"
    assert not list(tmp_path.iterdir())


def test_vectors_cannot_go_to_a_pipe(checkpoint, tmp_path):
    with pytest.raises(UserError, match="--output is -"):
        embed_file(checkpoint, "none.txt", "-", note=str)


def test_the_commands_do_the_same(checkpoint, model, tmp_path):
    vectors, pairs = tmp_path / "v.npy", tmp_path / "o.tsv"
    (tmp_path / "a").write_bytes(SRC)
    (tmp_path / "b").write_bytes(b"\n")
    of_model = f"--checkpoint={checkpoint}"
    embedding = started(
        *("embed", of_model, "--input=-", f"--output={vectors}"),
        *("--layer=1", "--normalize"),
    )
    mining = started(
        *("mine", of_model, f"--src={tmp_path / 'a'}", f"--tgt={tmp_path / 'b'}"),
        f"--output={pairs}",
    )
    _, errors = embedding.communicate(b"1 2\n3\n")
    assert embedding.returncode == 0, errors.decode()
    expected = model.encode(["1 2", "3"], layer=1, normalize=True)
    np.testing.assert_allclose(np.load(vectors), expected, atol=1e-5)
    output, errors = mining.communicate()
    assert (mining.returncode, output) == (2, b"")  # --output=- has it for pairs alone
    assert f"{tmp_path / 'a'}: 4 different sentences" in errors.decode()
    assert errors.decode().splitlines()[-1].startswith(f"error: {tmp_path / 'b'}: has")
