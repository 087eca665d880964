import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

import amber_jax.report
from amber_jax.errors import UserError
from amber_jax.report.panels import principal_components
from amber_jax.report.tables import print_tables, retrieval_tables, to_markdown
from amber_jax.report.write import write_report

ROOT = Path(__file__).parents[1]


def result(model="AMBER", *, scores=None, candidates=300, **changes):
    scores = scores or {"es": (0.7, 0.8), "ru": (0.3, 0.4)}
    there, back = np.mean(list(scores.values()), axis=0)
    return {
        "task": "retrieval",
        "name": "tico_heldout",
        "checkpoint": f"runs/{model}",
        "step": 600,
        "model": model,
        "layer": 2,
        "pooling": "mean",
        "special_tokens": False,
        "similarity": "cosine",
        "centred": False,
        "candidates": dict.fromkeys(scores, candidates),
        "scores": {
            name: {"xx_to_en": pair[0], "en_to_xx": pair[1]}
            for name, pair in scores.items()
        },
        "average": {"xx_to_en": there, "en_to_xx": back, "both": (there + back) / 2},
    } | changes


def write_result(path, **content):
    path.write_text(json.dumps({"results": [result(**content)]}))
    return path


def write_run(directory, *, final=0.5, losses=("mlm", "sentence_alignment")):
    directory.mkdir()
    lines = []
    for step in range(1, 41):
        values = dict.fromkeys(losses, 8.0 / step)
        record = {"kind": "train", "step": step, "stage": "align", **values}
        lines.append(record)
        if step % 10 == 0:
            score = {"evaluation": "tico_heldout", "average": final * step / 40}
            lines.append({"kind": "eval", "step": step, "stage": "align", **score})
    if "mlm" in losses:
        lines[3]["mlm"] = None  # what a NaN is written as
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (directory / "metrics.jsonl").write_text(text)
    return directory


def probe_arrays(*, src=("▁The", "▁virus", "▁病毒"), tgt=("▁Le", "▁vi", "rus", "$x$")):
    random = np.random.default_rng(0)
    x, y = len(src), len(tgt)
    return {
        "src_pieces": np.array(src),
        "tgt_pieces": np.array(tgt),
        "src_to_tgt": random.dirichlet(np.ones(y), x).astype(np.float32),
        "tgt_to_src": random.dirichlet(np.ones(x), y).astype(np.float32),
        "similarity": random.uniform(-1, 1, (x, y)).astype(np.float32),
        "vectors_before": random.normal(size=(12, 8)).astype(np.float32),
        "vectors_after": random.normal(size=(12, 8)).astype(np.float32),
        "meaning": np.repeat(np.arange(4), 3),
        "language": np.array(["en", "fr", "zh"] * 4),
    }


def write_probe(path, **changes):
    arrays = probe_arrays() | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def report(output, *, workdirs=(), labels=(), results=(), probe=None):
    return write_report(
        output, workdirs=workdirs, labels=labels, results=results, probe=probe
    )


def run_command(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "launch/report.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_writes_pictures_and_a_table_and_prints_the_table(tmp_path):
    done = run_command(
        f"--workdir={write_run(tmp_path / 'mlm', losses=('mlm',))}",
        f"--workdir={write_run(tmp_path / 'amber')}",
        "--label=MLM",
        "--label=AMBER",
        f"--results={write_result(tmp_path / 'a.json', model='untrained', step=0)}",
        f"--results={write_result(tmp_path / 'b.json', model='MLM', centred=True)}",
        f"--probe={write_probe(tmp_path / 'probe.npz')}",
        f"--output={tmp_path / 'out'}",
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert ["es", "ru", "average", "xx→en", "en→xx"] in lines
    assert ["MLM", "centred", "75.0", "35.0", "55.0", "50.0", "60.0"] in lines
    written = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = ["overview", "retrieval", "losses", "alignment", "vectors"]
    assert written == {"report.md", *(f"{name}.png" for name in pictures)}
    page = (tmp_path / "out" / "report.md").read_text()
    assert all(f"({name}.png)" in page for name in pictures)
    assert "| untrained | **75.0** |" in page


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    done = run_command(f"--results={tmp_path / 'absent.json'}", "--output=out")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "absent.json" in done.stderr


def test_rows_are_chance_then_the_given_order_and_percent(tmp_path):
    files = [
        write_result(tmp_path / "1", model="untrained", scores={"es": (0.14, 0.12)}),
        write_result(tmp_path / "2", model="MLM", scores={"es": (0.004, 0.004)}),
        write_result(
            tmp_path / "3", model="MLM", centred=True, scores={"es": (0.1, 0.1)}
        ),
    ]
    (table,) = report(tmp_path / "out", results=files)
    assert to_markdown(table).splitlines() == [
        "|  | es | average | xx→en | en→xx |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| chance | 0.3 | 0.3 | 0.3 | 0.3 |",
        "| untrained | **13.0** | **13.0** | **14.0** | **12.0** |",
        "| MLM | 0.4 | 0.4 | 0.4 | 0.4 |",
        "| MLM centred | 10.0 | 10.0 | 10.0 | 10.0 |",
    ]


def test_each_evaluation_set_has_a_table_with_its_own_chance(tmp_path):
    files = [
        write_result(tmp_path / "1", name="tico_heldout", candidates=300),
        write_result(tmp_path / "2", name="tatoeba", candidates=1000),
    ]
    tables = report(tmp_path / "out", results=files)
    assert [table.title for table in tables] == [
        "Retrieval, tico_heldout",
        "Retrieval, tatoeba",
    ]
    assert [table.rows["chance"][0] for table in tables] == [1 / 300, 1 / 1000]


def test_a_language_a_model_lacks_is_a_dash_with_a_warning(tmp_path):
    files = [
        write_result(tmp_path / "1", model="A", scores={"es": (1, 1), "ru": (1, 1)}),
        write_result(tmp_path / "2", model="B", scores={"es": (0, 0)}),
    ]
    report(tmp_path / "out", results=files)
    page = (tmp_path / "out" / "report.md").read_text()
    assert "| B | 0.0 | – | 0.0 |" in page
    assert "not comparable" in page


def test_one_model_evaluated_twice_keeps_both_rows(tmp_path):
    files = [write_result(tmp_path / name) for name in ("1", "2")]
    (table,) = report(tmp_path / "out", results=files)
    assert list(table.rows) == ["chance", "AMBER", "AMBER (2)"]


def test_many_languages_go_down_the_page(tmp_path, capsys):
    scores = {f"l{index}": (0.5, 0.5) for index in range(26)}
    file = write_result(tmp_path / "1", scores=scores)
    tables = report(tmp_path / "out", results=[file])
    assert to_markdown(tables[0]).splitlines()[0] == "|  | chance | AMBER |"
    print_tables(tables)
    assert max(map(len, capsys.readouterr().out.splitlines())) < 80


def test_every_picture_shows_something(tmp_path):
    run = write_run(tmp_path / "run")
    probe = write_probe(tmp_path / "probe.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report(tmp_path / "out", workdirs=[run], probe=probe)
    for path in (tmp_path / "out").glob("*.png"):
        image = matplotlib.image.imread(path)
        assert min(image.shape[:2]) > 600
        assert image[..., :3].std() > 0.02
        for border in (image[0], image[-1], image[:, 0], image[:, -1]):
            assert (border[..., :3] == 1).all()  # nothing is cut off


def test_a_report_needs_only_what_it_is_given(tmp_path):
    report(tmp_path / "out", workdirs=[write_run(tmp_path / "run", losses=())])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.md", "retrieval.png", "overview.png"}


def test_labels_default_to_folder_names_and_must_match(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(UserError, match="--label was given 2 times and --workdir 1"):
        report(tmp_path / "out", workdirs=[run], labels=["a", "b"])


def test_nothing_to_report_is_told(tmp_path):
    with pytest.raises(UserError, match="nothing to report"):
        report(tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "results.json"),
        ("[]", "results.json"),
        ('{"task": "retrieval"}', "has no 'results'"),
        ('{"results": [{"task": "retrieval"}]}', "has no 'scores'"),
        (json.dumps({"results": [result(task="udpos")]}), "udpos"),
        (
            json.dumps({"results": [result(scores={"es": (50.0, 60.0)})]}),
            "between 0 and 1",
        ),
        (
            json.dumps({"results": [result() | {"candidates": {"es": 3}}]}),
            "has no 'ru'",
        ),
        (json.dumps({"results": [result() | {"scores": []}]}), "results.json"),
        (
            json.dumps({"results": [result() | {"scores": {}, "candidates": {}}]}),
            "candidates",
        ),
        (json.dumps({"results": [result(candidates=0)]}), "candidates"),
    ],
)
def test_malformed_results_are_told_with_their_file(tmp_path, text, reason):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.json") as caught:
        report(tmp_path / "out", results=[path])
    assert reason in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"similarity": None}, "similarity"),
        ({"similarity": np.zeros((2, 2), np.float32)}, "wanted kind f [3, 4]"),
        ({"tgt_to_src": np.zeros((3, 4), np.float32)}, "wanted kind f [4, 3]"),
        ({"vectors_after": np.full((12, 8), np.nan)}, "NaN"),
        ({"language": np.array(["en"])}, "wanted kind U [12]"),
        ({"meaning": np.int64(3)}, "meaning"),
        ({"similarity": np.full((3, 4), "x")}, "similarity is <U1"),
        ({"src_pieces": np.array([], str)}, "src_pieces"),
    ],
)
def test_malformed_probes_are_told_with_their_file(tmp_path, changes, reason):
    path = write_probe(tmp_path / "bad.npz", **changes)
    with pytest.raises(UserError, match=r"bad\.npz") as caught:
        report(tmp_path / "out", probe=path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"text", b"\x93NUMPY"])
def test_a_file_that_is_no_probe_is_told(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.npz"):
        report(tmp_path / "out", probe=path)


def test_a_workdir_without_metrics_is_told(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read"):
        report(tmp_path / "out", workdirs=[tmp_path])


@pytest.mark.parametrize(
    "record", [{"step": 1}, {"step": 1, "kind": "eval", "evaluation": "x"}]
)
def test_records_of_another_program_are_told(tmp_path, record):
    (tmp_path / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl: the record of step 1"):
        report(tmp_path / "out", workdirs=[tmp_path])


def test_a_missing_matplotlib_names_the_extra(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "amber_jax.report.figures", raising=False)
    monkeypatch.delitem(sys.modules, "amber_jax.report.panels", raising=False)
    monkeypatch.delattr(amber_jax.report, "figures", raising=False)
    file = write_result(tmp_path / "1")
    with pytest.raises(UserError, match=r"amber_jax\[report\]"):
        report(tmp_path / "out", results=[file])
    assert not (tmp_path / "out").exists()


def test_principal_components_keep_the_distances_of_flat_vectors():
    random = np.random.default_rng(0)
    flat = random.normal(size=(20, 2)) @ np.linalg.qr(random.normal(size=(8, 2)))[0].T
    points = principal_components(flat + 5)
    np.testing.assert_allclose(
        np.linalg.norm(points[:, None] - points, axis=-1),
        np.linalg.norm(flat[:, None] - flat, axis=-1),
        atol=1e-9,
    )


@pytest.mark.parametrize("shape", [(1, 8), (5, 1), (1, 1)])
def test_principal_components_of_too_few_numbers_are_still_two(shape):
    assert principal_components(np.ones(shape)).shape == (shape[0], 2)


def test_no_results_make_no_table():
    assert retrieval_tables([]) == []
