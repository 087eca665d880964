import re

import numpy as np
import pytest
from report_files import (
    fine_tuned,
    report,
    retrieval,
    write_pretraining,
    write_records,
    write_results,
)

from amber_jax.evaluation.results import read_results
from amber_jax.report.grouping import group_results
from amber_jax.report.panels import drawable, percent_ticks, principal_components
from amber_jax.report.published import AMBER
from amber_jax.report.score_panels import gaps
from amber_jax.report.tables import build_tables


def table_of(folder, *results):
    read = read_results(write_results(folder / "results.json", *results))
    (evaluation,) = group_results(read)
    return build_tables(evaluation)[0]


def test_gaps_are_english_minus_the_mean_of_the_others(tmp_path):
    scores = {"en": 0.8, "de": 0.6, "xx": 0.5}
    (gap,) = gaps(table_of(tmp_path, fine_tuned(scores=scores, size=9)))
    assert (gap.label, gap.english) == ("AMBER", 0.8)
    assert gap.others == pytest.approx(0.55)


def test_gaps_beside_the_published_one_are_over_the_same_languages(tmp_path):
    scores = {"en": 0.8, "de": 0.6, "xx": 0.5}
    ours, published = gaps(table_of(tmp_path, fine_tuned(scores=scores)))
    assert (ours.english, ours.others) == (0.8, 0.6)
    assert published.label == f"{AMBER}, published"
    assert published.english - published.others == pytest.approx(0.847 - 0.742)


@pytest.mark.parametrize("scores", [{"en": 0.8}, {"de": 0.8, "fr": 0.2}])
def test_there_is_no_gap_without_english_and_another(tmp_path, scores):
    assert gaps(table_of(tmp_path, fine_tuned(scores=scores, size=9))) == []


def test_labels_are_made_such_that_legends_show_them():
    assert drawable("_x") == " _x"
    assert drawable("a病") == "a□"
    assert drawable("0123456789", length=5) == "…6789"


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


def test_ticks_are_labeled_with_what_they_are():
    ticks = [0.0, -0.0, 0.025, 0.05, 3 * 0.025, 0.1, 3 * 0.1, 1.0, 0.00125]
    wanted = ["0", "0", "2.5", "5", "7.5", "10", "30", "100", "0.125"]
    assert [percent_ticks()(tick) for tick in ticks] == [
        f"{number}%" for number in wanted
    ]


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
    assert "crosses" not in page and "Events of training" not in page
    assert "column share is" in page and "diagonal share" not in page


def test_events_are_marked_and_the_last_ones_listed(tmp_path):
    events = [(step, f"happened at {step}") for step in range(5, 35)]
    run = write_pretraining(tmp_path / "run", events=events)
    page = page_of(tmp_path / "whole", workdirs=[run])
    assert "rings mark evaluations; crosses mark events" in page
    assert "Events of training" in page
    assert re.findall(r"happened at (\d+)", page) == [str(n) for n in range(15, 35)]


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
