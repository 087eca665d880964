"""Two files of sentences, to the translations among them."""

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
from naive_mining import mined_pairs

from amber_jax.commands import embed
from amber_jax.commands.mine import Search, mine_files
from amber_jax.errors import UserError
from amber_jax.inference.model import Model
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import SPECIAL_PIECES

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample" / "parallel_eval.tsv.xz"
SRC = b"1 2 3\n4 5\r\n\n1  2 3\ncaf\xe9\n6 7 8 9\n10 11\n"
TGT = b"6 7 8 9 0\n4 5 , 4 5\n30 31 32\n1 2 3 1 2 3\n4 5 , 4 5\n"
RATIO = Search()


@pytest.fixture
def mined(trained, tmp_path):
    """A function: contents of two files to the lines written and what was told."""

    def run(src, tgt, vector=None, search=RATIO):
        messages = []
        for name, content in (("src.txt", src), ("tgt.txt", tgt)):
            (tmp_path / name).write_bytes(content)
        paths = [str(tmp_path / name) for name in ("src.txt", "tgt.txt", "out.tsv")]
        try:
            mine_files(
                trained, *paths, search=search, note=messages.append, **(vector or {})
            )
        finally:
            left = {path.name for path in tmp_path.iterdir()}
            assert left <= {"src.txt", "tgt.txt", "out.tsv"}
        lines = Path(paths[2]).read_text("utf-8").split("\n")
        assert lines.pop() == ""
        return [line.split("\t") for line in lines], messages

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
    lines, messages = mined(SRC, TGT, vector, search)
    vectors = [model.encode(side, **vector) for side in (src, tgt)]
    pairs = mined_pairs(*vectors, search.margin, search.neighbors, search.threshold)
    assert [(x, y) for _, x, y in lines] == [(src[i], tgt[j]) for _, i, j in pairs]
    np.testing.assert_allclose(
        [float(score) for score, _, _ in lines], [s for s, _, _ in pairs], atol=1e-4
    )
    assert any(
        "4 different sentences; unusable lines: 1 empty, 1 not_utf8" in message
        for message in messages
    )
    assert any(
        "4 different sentences; unusable lines: none" in message for message in messages
    )
    assert "comparing 4 x 4 sentences" in messages


def test_after_a_kill_only_missing_vectors_are_computed(
    trained, mined, tmp_path, monkeypatch
):
    monkeypatch.setattr(embed, "_WINDOW", 2)
    encode, windows = Model.encode_counting, []

    def dying(model, window, *arguments, **options):
        windows.append(window)
        if len(windows) == 4:
            raise KeyboardInterrupt
        return encode(model, window, *arguments, **options)

    monkeypatch.setattr(Model, "encode_counting", dying)
    for name, content in (("src.txt", SRC), ("tgt.txt", TGT)):
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in ("src.txt", "tgt.txt", "out.tsv")]
    with pytest.raises(KeyboardInterrupt):
        mine_files(trained, *paths, search=RATIO, note=str)
    assert (tmp_path / "out.tsv.partial").is_dir()
    resumed, _ = mined(SRC, TGT)
    assert windows[:3] == [["1 2 3", "4 5"], ["6 7 8 9", "10 11"], windows[2]]
    assert windows[4:] == windows[3:4]  # the second half of the second file
    assert mined(SRC, TGT)[0] == resumed


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
    lines = (tmp_path / "out.tsv").read_text("utf-8").splitlines()
    pairs = {tuple(line.split("\t")[1:]) for line in lines}
    planted = set(zip(texts, short, strict=True))
    assert len(texts) > 150
    assert len(pairs & planted) > 0.97 * len(pairs)
    assert len(pairs & planted) > 0.85 * len(planted)


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
def test_a_signal_leaves_nothing_of_what_was_begun(trained, tmp_path, name, arguments):
    output = tmp_path / "out"
    process = started(name, f"--checkpoint={trained}", f"--output={output}", *arguments)
    process.stdin.write(b"1\t2\n")
    process.stdin.flush()
    while not list(tmp_path.iterdir()) and process.poll() is None:
        time.sleep(0.05)
    process.terminate()
    _, errors = process.communicate()
    assert process.returncode == 143
    assert errors.decode().splitlines()[-1] == "stopped by SIGTERM"
    assert not list(tmp_path.iterdir())


def test_the_commands_do_the_same(trained, model, tmp_path):
    vectors, pairs = tmp_path / "v.npy", tmp_path / "o.tsv"
    (tmp_path / "a").write_bytes(SRC)
    (tmp_path / "b").write_bytes(b"\n")
    of_model = f"--checkpoint={trained}"
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
