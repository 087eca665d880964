"""A whole report: the command, its files, and reports of one kind of input only."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib.image
import pytest
from report_files import (
    fine_tuned,
    layers,
    report,
    retrieval,
    write_fine_tuning,
    write_pretraining,
    write_probe,
    write_results,
)

import amber_jax.report
from amber_jax.errors import UserError

ROOT = Path(__file__).parents[2]
PAGES = {"report.md", "report.html"}


def run_command(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "launch/report.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_the_command_writes_pictures_and_pages_and_prints_the_table(tmp_path):
    untrained, centred = retrieval("untrained", step=0), retrieval("MLM", centred=True)
    done = run_command(
        f"--workdir={write_pretraining(tmp_path / 'mlm', losses=('mlm',))}",
        f"--workdir={write_pretraining(tmp_path / 'amber')}",
        "--label=MLM",
        "--label=AMBER",
        f"--results={write_results(tmp_path / 'a.json', untrained)}",
        f"--results={write_results(tmp_path / 'b.json', centred)}",
        f"--probe={write_probe(tmp_path / 'probe.npz')}",
        f"--output={tmp_path / 'out'}",
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert ["es", "ru", "average", "xx→en", "en→xx"] in lines
    assert ["MLM", "centred", "75.0", "35.0", "55.0", "50.0", "60.0"] in lines
    assert ["written:", str(tmp_path / "out/report.html")] in lines
    pictures = {"retrieval.png", "languages_retrieval_heldout.png"}
    pages = ("losses", "alignment", "vectors")
    pictures |= {f"{name}_{number}.png" for name in pages for number in (1, 2)}
    assert names_in(tmp_path / "out") == PAGES | pictures
    page = (tmp_path / "out" / "report.md").read_text()
    assert all(f"({name})" in page for name in pictures)
    assert "| untrained | **75.0** |" in page


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    done = run_command(f"--results={tmp_path / 'absent.json'}", "--output=out")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "absent.json" in done.stderr


def test_every_picture_shows_something(tmp_path):
    results = write_results(
        tmp_path / "results.json",
        retrieval(layers=layers(0.0, 0.1, 0.2)),
        *(fine_tuned(model=f"model {number}") for number in range(9)),
        *(fine_tuned(seed=seed, model="_病毒 $x$ " + 60 * "long ") for seed in (1, 2)),
    )
    runs = [write_pretraining(tmp_path / "pre"), write_fine_tuning(tmp_path / "fine")]
    probe = write_probe(tmp_path / "probe.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report(tmp_path / "out", workdirs=runs, results=[results], probe=probe)
    pictures = sorted((tmp_path / "out").glob("*.png"))
    assert len(pictures) == 13
    for path in pictures:
        image = matplotlib.image.imread(path)
        assert min(image.shape[:2]) > 300
        assert image[..., :3].std() > 0.02
        for border in (image[0], image[-1], image[:, 0], image[:, -1]):
            assert (border[..., :3] == 1).all(), path  # nothing is cut off


def test_a_report_of_a_pretraining_alone(tmp_path):
    report(tmp_path / "out", workdirs=[write_pretraining(tmp_path / "run", losses=())])
    assert names_in(tmp_path / "out") == PAGES | {"retrieval.png"}


def test_a_report_of_a_fine_tuning_alone(tmp_path):
    report(tmp_path / "out", workdirs=[write_fine_tuning(tmp_path / "run")])
    assert names_in(tmp_path / "out") == PAGES | {
        "finetuning_1.png",
        "finetuning_2.png",
    }


def test_a_report_of_results_alone(tmp_path):
    file = write_results(tmp_path / "r.json", fine_tuned(scores={"fr": 0.5}, size=9))
    (table,) = report(tmp_path / "out", results=[file])
    assert table.title == "Inference (XNLI)"
    assert names_in(tmp_path / "out") == PAGES | {"languages_inference_xnli.png"}


def test_a_report_of_a_probe_alone(tmp_path):
    report(tmp_path / "out", probe=write_probe(tmp_path / "probe.npz"))
    pages = ("alignment", "vectors")
    pictures = {f"{name}_{number}.png" for name in pages for number in (1, 2)}
    assert names_in(tmp_path / "out") == PAGES | pictures


def test_names_that_make_no_file_name_have_pictures_of_their_own(tmp_path):
    sets = [retrieval(name=name) for name in ("病毒", "毒病", "a" * 300)]
    report(tmp_path / "out", results=[write_results(tmp_path / "r.json", *sets)])
    assert len(list((tmp_path / "out").glob("languages_*.png"))) == 3


def test_nothing_to_report_is_told(tmp_path):
    with pytest.raises(UserError, match="nothing to report"):
        report(tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    file = write_results(tmp_path / "r.json", retrieval())
    with pytest.raises(UserError, match=r"r\.json cannot be written"):
        report(file, results=[file])


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_a_missing_library_names_the_extra(tmp_path, monkeypatch, library):
    for name in [name for name in sys.modules if name.startswith(library)]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("figures", "pages", "panels", "score_panels"):
        monkeypatch.delitem(sys.modules, f"amber_jax.report.{name}", raising=False)
        monkeypatch.delattr(amber_jax.report, name, raising=False)
    file = write_results(tmp_path / "r.json", retrieval())
    with pytest.raises(UserError, match=r"amber_jax\[report\]"):
        report(tmp_path / "out", results=[file])
    assert not (tmp_path / "out").exists()
