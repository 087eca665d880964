"""A caption speaks of what its picture shows, and of nothing else."""

import pytest
from report_files import (
    fine_tuned,
    report,
    retrieval,
    write_pretraining,
    write_records,
    write_results,
)


def page_of(folder, **inputs):
    report(folder / "out", **inputs)
    return (folder / "out" / "report.md").read_text("utf-8")


def test_rings_and_shares_are_told_where_they_are_drawn(tmp_path):
    alone = write_records(
        tmp_path / "alone", [{"kind": "train", "step": 1, "stage": "a", "mlm": 1.0}]
    )
    page = page_of(tmp_path / "plain", workdirs=[alone])
    assert "Training losses" in page
    assert "rings" not in page and "share" not in page
    losses = ("mlm", "word_alignment", "word_alignment_column_share")
    run = write_pretraining(tmp_path / "run", losses=losses)
    page = page_of(tmp_path / "whole", workdirs=[run])
    assert "rings mark evaluations" in page
    assert "column share is" in page and "diagonal share" not in page


@pytest.mark.parametrize("is_whole", [False, True])
def test_whiskers_lines_and_diamonds_are_told_where_they_are_drawn(tmp_path, is_whole):
    changes = {} if is_whole else {"size": 9, "baselines": {"en": {}, "de": {}}}
    results = [fine_tuned(seed=seed, **changes) for seed in (1, 2)[: 1 + is_whole]]
    path = write_results(tmp_path / "results.json", *results)
    page = page_of(tmp_path, results=[path])
    for words in ("as a whisker", "baselines as lines", "as a diamond"):
        assert (words in page) == is_whole


def test_lines_of_what_does_not_train_are_told_where_they_are_drawn(tmp_path):
    run = write_pretraining(tmp_path / "run")
    assert "dotted" not in page_of(tmp_path / "alone", workdirs=[run])
    path = write_results(tmp_path / "r.json", retrieval())
    page = page_of(tmp_path / "both", workdirs=[run], results=[path])
    assert "dotted: chance" in page and "dashed" not in page
