import numpy as np
import pytest
from report_files import (
    report,
    write_fine_tuning,
    write_pretraining,
    write_probe,
    write_records,
)

from amber_jax.errors import UserError
from amber_jax.report.inputs import read_runs


def test_labels_default_to_folder_names_and_must_match(tmp_path):
    run = write_pretraining(tmp_path / "run")
    assert [labeled.label for labeled in read_runs([run], [])] == ["run"]
    with pytest.raises(UserError, match="--label was given 2 times and --workdir 1"):
        read_runs([run], ["a", "b"])


def test_fine_tuning_with_several_seeds_is_a_run_for_each(tmp_path):
    for seed in (1, 2):
        write_fine_tuning(tmp_path / "pos" / f"seed-{seed}")
    runs = read_runs([tmp_path / "pos"], ["POS"])
    assert [run.label for run in runs] == ["POS, seed-1", "POS, seed-2"]
    assert {(run.dev_metric, run.stage) for run in runs} == {("F1", "udpos")}


def test_pretraining_has_no_dev_metric(tmp_path):
    (run,) = read_runs([write_pretraining(tmp_path / "run")], [])
    assert run.dev_metric == ""


def test_a_workdir_without_metrics_is_told(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read"):
        read_runs([tmp_path], [])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "neither a train"),
        ({"kind": "eval", "evaluation": "x"}, "neither a train"),
        ({"kind": "event", "event": "skipped"}, "nor an event"),
        ({"kind": "event", "event": "x", "text": 3}, "3 as text; wanted text"),
        ({"kind": "train", "loss": "low"}, "'low' as loss; wanted a number"),
        ({"kind": "eval", "evaluation": 3, "average": 0.5}, "evaluation; wanted text"),
        ({"kind": "eval", "evaluation": "x", "average": []}, "average"),
    ],
)
def test_records_of_another_program_are_told(tmp_path, record, reason):
    run = write_records(tmp_path / "run", [{"step": 1} | record])
    with pytest.raises(
        UserError, match=r"metrics\.jsonl: the record of step 1"
    ) as refusal:
        read_runs([run], [])
    assert reason in str(refusal.value)


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
