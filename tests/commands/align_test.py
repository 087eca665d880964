"""Word alignment through its two commands, on a tiny model with random weights."""

import dataclasses
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import quiet_conversion
from hypothesis import given
from hypothesis import strategies as st

from amber_jax import config as settings
from amber_jax.commands import align, evaluate
from amber_jax.errors import UserError
from amber_jax.evaluation.results import WordAlignment, read_results
from amber_jax.evaluation.word_alignment import word_alignment_result
from amber_jax.inference.loading import load_model
from amber_jax.inference.word_links import Alignment
from amber_jax.report.terminal import results_as_text

ROOT = Path(__file__).parents[2]
BEST = Alignment("similarity", -1, "union", 0.0)
ITERMAX = {"symmetrization": "itermax", "similarity": "cosine"}
LINES = [
    b"1 2 3\t4 5 6 7",
    b"no tab",
    b"",
    b"caf\xe9\t1",
    b"8  9 ,\t10 11\r",
    b"1\t2\t3",
    b" \t1",
    b"12 ||| 13",
]


@pytest.fixture
def aligned(checkpoint, tmp_path):
    """A function: bytes of a file to the lines written and the sentences told."""

    def run(content, alignment=BEST, *, name="pairs.tsv", **options):
        source, output, messages = tmp_path / name, tmp_path / "links.txt", []
        source.write_bytes(content)
        align.align_file(
            checkpoint,
            str(source),
            str(output),
            alignment,
            note=messages.append,
            **options,
        )
        assert names_in(tmp_path) == ["links.txt", name]
        return output.read_text("ascii").split("\n")[:-1], messages

    return run


def command(name, *arguments, given=b""):
    return subprocess.run(
        [sys.executable, f"launch/{name}.py", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        input=given,
        capture_output=True,
        timeout=120,
    )


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def words_of(line):
    """The source and the target words that a line of links links."""
    links = [tuple(map(int, link.split("-"))) for link in line.split()]
    assert links == sorted(set(links))
    return [sorted({link[side] for link in links}) for side in (0, 1)]


def gold(folder, language, lines, name="test.tsv"):
    path = folder / language / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def evaluation(folder, **changes):
    config = settings.word_alignment_evaluation()
    config.data = str(folder)
    config.update(changes)
    return config


def test_every_line_has_its_line_and_bad_ones_an_empty_one(aligned):
    lines, messages = aligned(b"\n".join(LINES) + b"\n")
    assert [bool(line) for line in lines] == [
        *(True, False, False, False),
        *(True, False, False, True),
    ]
    assert words_of(lines[0]) == [[0, 1, 2], [0, 1, 2, 3]]
    assert words_of(lines[4]) == [[0, 1, 2], [0, 1]]
    assert lines[7] == "0-0"
    assert messages == [
        "8 lines; left empty as unusable: 3 field_count, 1 not_utf8, 1 empty_side"
    ]


def test_activations_may_have_sixteen_bits_and_no_other_type(aligned):
    narrow, _ = aligned(LINES[0], dtype="bfloat16")
    assert words_of(narrow[0]) == [[0, 1, 2], [0, 1, 2, 3]]
    with pytest.raises(UserError, match="dtype is 'float16'"):
        aligned(LINES[0], dtype="float16")


def test_a_file_without_lines_gives_one_without_lines(aligned):
    assert aligned(b"") == ([], ["0 lines; left empty as unusable: none"])


def test_packed_text_is_unpacked(aligned):
    lines, _ = aligned(gzip.compress(b"1 2\t3 4\n5\t6"), name="pairs.tsv.gz")
    assert len(lines) == 2


def test_lines_read_in_parts_are_aligned_as_the_whole(aligned, monkeypatch):
    content = b"\n".join(f"{n} {n + 7}\t{n % 5} {n + 1} 3".encode() for n in range(7))
    whole, _ = aligned(content)
    monkeypatch.setattr(align, "_WINDOW", 3)
    assert aligned(content)[0] == whole
    assert len(whole) == 7 and all(whole)


def test_what_is_too_long_or_not_split_is_told(aligned):
    unspaced = ",".join(map(str, range(9)))
    long = " ".join(map(str, range(45)))
    lines, messages = aligned(f"{unspaced}\t1 2\n{long}\t1\n".encode())
    assert words_of(lines[1])[0] == list(range(38))  # 40 positions, two specials
    assert "1 pairs are longer than the model's 40 positions" in messages[1]
    assert "1 pairs have a side that is one very long word" in messages[2]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "magic"}, "method is 'magic', not one of similarity, attention"),
        ({"layer": 3}, r"layer is 3; the model has 2 \(0: embeddings, -1: the last\)"),
        ({"method": "attention", "layer": 1}, "attention is that of the last layer"),
        ({"symmetrization": "mean"}, "symmetrization is 'mean', not one of inter"),
        ({"threshold": 1.0}, "threshold is 1.0"),
        ({"level": "letter"}, "level is 'letter', not one of word, piece"),
        ({"similarity": "csls"}, "similarity is 'csls', not one of dot, cosine"),
        ({"context": 2.0}, "context is 2.0"),
        ({"symmetrization": "itermax"}, "itermax needs cosines; set similarity to cos"),
        ({**ITERMAX, "threshold": 0.5}, "threshold is 0.5, but itermax has none"),
        ({"method": "attention", "center": True}, "center is True, but attention has"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({**ITERMAX, "method": "attention"}, "cosines, which attention has none of"),
    ],
)
def test_a_wrong_option_is_told_by_both_commands(
    aligned, checkpoint, tmp_path, changes, sentence
):
    with pytest.raises(UserError, match=sentence):
        aligned(b"1\t2\n", BEST._replace(**changes))
    gold(tmp_path, "de", ["1\t2\t0-0"])
    with pytest.raises(UserError, match=sentence):
        config = evaluation(tmp_path, **changes)
        word_alignment_result(config, load_model(checkpoint), note=print)


def test_a_prompt_may_be_named_in_both_commands(checkpoint, tmp_path):
    folder, messages = tmp_path / "model", []
    quiet_conversion.convert(f"amber:{checkpoint}", f"sentence-transformers:{folder}")
    names = {"prompts": {"query": "7 8 "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(names))
    source = tmp_path / "pairs.tsv"
    source.write_bytes(b"1 2 3\t4 5 6 7\n")
    gold(tmp_path / "gold", "de", ["1 2 3\t4 5 6 7\t0-0"])

    def links(prompt):
        how, output = BEST._replace(layer=1, prompt=prompt), tmp_path / "links.txt"
        align.align_file(folder, str(source), str(output), how, note=messages.append)
        return output.read_text()

    assert links("query") == links("7 8 ") != links("")
    config = evaluation(tmp_path / "gold", prompt="query")
    result = word_alignment_result(config, load_model(folder), note=print)
    assert result.prompt == "7 8 "
    with pytest.raises(UserError, match="did you mean 'query'"):
        links("querry")


def test_a_failure_leaves_what_was_there(checkpoint, tmp_path):
    broken, output = tmp_path / "pairs.tsv.gz", tmp_path / "links.txt"
    broken.write_bytes(gzip.compress(os.urandom(1000))[:500])
    output.write_text("0-0\n")
    with pytest.raises(UserError, match=r"pairs\.tsv\.gz: cannot be read to its end"):
        align.align_file(checkpoint, str(broken), str(output), BEST, note=print)
    assert output.read_text() == "0-0\n"
    assert names_in(tmp_path) == ["links.txt", "pairs.tsv.gz"]


@pytest.mark.parametrize("output", [".", "none/links"])
def test_an_output_that_cannot_be_written_is_told(checkpoint, tmp_path, output):
    source = tmp_path / "pairs.tsv"
    source.write_bytes(b"1\t2\n")
    with pytest.raises(UserError, match="cannot be written"):
        path = str(tmp_path / output)
        align.align_file(checkpoint, str(source), path, BEST, note=print)


def test_a_file_may_be_written_over_itself(checkpoint, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b"1\t2\n3\t4\n")
    align.align_file(checkpoint, str(path), str(path), BEST, note=print)
    assert path.read_text() == "0-0\n0-0\n"


def test_only_spaces_separate_words():
    pair = (("5\u00a0000", "\u3000"), ("a", "b"))
    line = "\ufeff 5\u00a0000  \u3000\ta b\r".encode()
    assert align.split_line(line) == (pair, None)
    assert align.split_line(b"a" * (1 << 20) + b"\tb")[1] == "too_long"


@given(raw=st.binary(max_size=40) | st.text("a \t|\r\u2028\x00é", max_size=12))
@hypothesis.settings(max_examples=50)
def test_any_bytes_are_two_sides_of_words_or_have_a_reason(raw):
    raw = raw.encode() if isinstance(raw, str) else raw
    sides, reason = align.split_line(raw)
    assert all(sides) == (reason is None)
    for words in sides:
        assert all(words) and not any(" " in word or "\t" in word for word in words)


def test_the_command_reads_and_writes_pipes(checkpoint):
    done = command(
        *("align", f"--checkpoint={checkpoint}", "--input=-", "--output=-"),
        *("--method=attention", "--symmetrization=src-to-tgt", "--threshold=0.001"),
        given=b"1 2\t3 4\nbad\n5\t6\n",
    )
    assert done.returncode == 0, done.stderr
    first, bad, last = done.stdout.decode().split("\n")[:-1]
    assert words_of(first)[0] == [0, 1]
    assert (bad, last) == ("", "0-0")
    assert b"3 lines; left empty as unusable: 1 field_count" in done.stderr


def test_the_evaluation_command_scores_every_language(checkpoint, tmp_path):
    gold(tmp_path / "data", "de", ["1 2\t1 2\t0-0 1-1", "3 4 5\t3\t0-0"])
    gold(tmp_path / "data", "fr", ["1 2\t1 2\t0-1 1-0"])
    gold(tmp_path / "data", "fr", ["1\t2\t0-0"], name="dev.tsv")
    done = command(
        *("evaluate", "--config=configs/word_alignment.py"),
        *(f"--checkpoint={checkpoint}", f"--output={tmp_path / 'out'}"),
        *(f"--config.data={tmp_path / 'data'}", "--config.label=tiny"),
    )
    assert done.returncode == 0, done.stderr
    (result,) = read_results(tmp_path / "out" / "results.json")
    scores, mean = result.scores, result.average
    assert dataclasses.replace(result, scores={}) == WordAlignment(
        task="word_alignment",
        name="data",  # the folder's
        model="tiny",
        checkpoint=str(checkpoint / "checkpoints" / "5"),
        step=5,
        method="similarity",
        layer=2,
        symmetrization="intersection",
        threshold=0.0,
        scores={},
        sizes={"de": 2, "fr": 1},
        level="word",
        similarity="dot",
        center=False,
        context=0.0,
        prompt="",
        dev_aer={},
        # German: all 3 links are found, with 2 more for words 4 and 5. French: none is.
        baselines={"de": {"diagonal": 0.25}, "fr": {"diagonal": 1.0}},
    )
    assert {metric: 0 <= value <= 1 for metric, value in mean.items()} == {
        **{"precision": True, "recall": True, "f1": True, "aer": True}
    }
    for metric, value in mean.items():
        assert value == pytest.approx((scores["de"][metric] + scores["fr"][metric]) / 2)
    printed = done.stdout.decode()
    assert printed == results_as_text([result]) + "\n"
    lines = [line.split() for line in printed.splitlines()]
    assert ["diagonal", "25.0", "100.0", "62.5", "–", "–", "–"] in lines


def test_gold_links_may_stand_in_pharaoh_files(checkpoint, tmp_path):
    gold(tmp_path, "de", ["1 2\t3 4", "5 ||| 6"], name="text")
    gold(tmp_path, "de", ["0-0 1?1", "0p0"], name="links")
    config = evaluation(tmp_path, test="{language}/text", gold="{language}/links")
    config.symmetrization = "union"
    result = word_alignment_result(config, load_model(checkpoint), note=print)
    assert result.sizes == {"de": 2}
    # Two sure or possible links are on the diagonal, beside a sure one.
    assert result.baselines["de"]["diagonal"] == pytest.approx(0.0)


def test_dev_gold_chooses_one_layer_for_all_languages(checkpoint, tmp_path):
    rng = np.random.default_rng(3)
    model = load_model(checkpoint)
    for language in ("de", "fr"):
        lines = [
            f"{' '.join(map(str, rng.integers(0, 40, 6)))}\t"
            f"{' '.join(map(str, rng.integers(0, 40, 6)))}\t0-1 1-0 2-3 3-2 5-5"
            for _ in range(20)
        ]
        gold(tmp_path, language, lines, name="dev.tsv")
        gold(tmp_path, language, lines[::-1])
    dev = {"dev": "{language}/dev.tsv", "center": True, "context": 0.2}
    chosen = word_alignment_result(evaluation(tmp_path, **dev), model, note=print)
    by_hand = {
        layer: word_alignment_result(
            evaluation(tmp_path, layer=layer, center=True, context=0.2),
            model,
            note=print,
        ).average["aer"]
        for layer in range(3)
    }
    assert chosen.dev_aer == pytest.approx(by_hand)
    assert chosen.layer == min(by_hand, key=by_hand.get)
    assert chosen.average["aer"] == pytest.approx(min(by_hand.values()))
    assert chosen.settings["layer"] == f"{chosen.layer}, chosen on dev"
    printed = results_as_text([chosen])
    assert f"AER on dev by layer 0: {100 * by_hand[0]:.1f}, 1: " in printed
    for conflict in ({"layer": 1}, {"method": "attention"}):
        config = evaluation(tmp_path, dev=dev["dev"], **conflict)
        with pytest.raises(UserError, match="dev"):
            word_alignment_result(config, model, note=print)


def test_dev_gold_may_stand_in_pharaoh_files(checkpoint, tmp_path):
    gold(tmp_path, "de", ["1 2\t3 4"], name="text")
    gold(tmp_path, "de", ["0-0 1-1"], name="links")
    patterns = {"test": "{language}/text", "gold": "{language}/links"}
    config = evaluation(tmp_path, **patterns)
    config.update(dev=config.test, dev_gold=config.gold)
    result = word_alignment_result(config, load_model(checkpoint), note=print)
    assert result.dev_aer[result.layer] == result.average["aer"]


def test_gold_counted_from_1_scores_as_gold_counted_from_0(checkpoint, tmp_path):
    gold(tmp_path / "zero", "ja", ["1 2 3\t4 5 6\t0-0 1-2"])
    gold(tmp_path / "one", "ja", ["1 2 3\t4 5 6\t1-1 2-3"])
    model = load_model(checkpoint)
    wanted, result = (
        word_alignment_result(evaluation(tmp_path / name, **how), model, note=print)
        for name, how in (("zero", {}), ("one", {"first_index": 1, "name": "kftt"}))
    )
    assert (wanted.name, result.name) == ("zero", "kftt")
    assert dataclasses.replace(result, name="zero") == wanted
    with pytest.raises(UserError, match="first_index"):
        word_alignment_result(evaluation(tmp_path / "one"), model, note=print)


def test_languages_can_be_chosen_and_places_be_told(checkpoint, tmp_path):
    model = load_model(checkpoint)
    for language in ("de", "fr", "it"):
        gold(tmp_path, language, ["1\t2\t0-0"])
        gold(tmp_path, "flat", ["1\t2\t0-0"], name=f"{language}-{language}.tsv")
    config = evaluation(tmp_path, languages=("it", "de"))
    result = word_alignment_result(config, model, note=print)
    assert list(result.scores) == ["it", "de"]
    config = evaluation(tmp_path / "flat", test="{language}-{language}.tsv")
    result = word_alignment_result(config, model, note=print)
    assert list(result.scores) == ["de", "fr", "it"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": ""}, "data is empty; set --config.data"),
        ({"test": "test.tsv"}, "test is 'test.tsv'; wanted {language} in it"),
        ({"gold": "links"}, "gold is 'links'; wanted {language} in it"),
        ({"test": "{language}/none.tsv"}, "has no file {language}/none.tsv"),
        ({"languages": ("xx",)}, "xx/test.tsv"),
        ({"first_index": 2}, "first_index is 2"),
        ({"first_index": 1}, "counted from 1"),
    ],
)
def test_gold_that_is_not_there_is_told(checkpoint, tmp_path, changes, sentence):
    gold(tmp_path, "de", ["1\t2\t0-0"])
    with pytest.raises(UserError, match=sentence):
        config = evaluation(tmp_path, **changes)
        word_alignment_result(config, load_model(checkpoint), note=print)


def test_untrained_weights_are_the_runs_at_step_0(checkpoint, tmp_path):
    gold(tmp_path, "de", ["1 2 3\t1 2 3\t0-0"])
    config = evaluation(tmp_path, untrained=True)
    (result,) = evaluate.evaluate(config, checkpoint, tmp_path / "out", note=print)
    assert (result.step, result.task) == (0, "word_alignment")
