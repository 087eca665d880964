import statistics

import pytest

from amber_jax.report.published import AMBER, MODELS, PUBLISHED, comparable_languages
from amber_jax.tasks import TASKS


@pytest.mark.parametrize("task", PUBLISHED)
def test_every_mean_is_the_printed_average_within_rounding(task):
    published = PUBLISHED[task]
    for model in MODELS:
        mean = statistics.fmean(published.scores[model].values())
        assert mean == pytest.approx(published.averages[model], abs=0.0011)


@pytest.mark.parametrize(
    ("task", "languages", "best"),
    [("udpos", 13, 0.711), ("pawsx", 5, 0.892), ("xnli", 15, 0.716)]
    + [("retrieval", 14, 0.879)],
)
def test_each_table_is_whole(task, languages, best):
    published = PUBLISHED[task]
    assert {len(row) for row in published.scores.values()} == {languages}
    ours = [share for model, share in published.averages.items() if "AMBER" in model]
    assert max(ours) == pytest.approx(best)


def test_averages_without_doubtful_languages_are_those_of_the_cells():
    row = PUBLISHED["udpos"].scores[AMBER]
    kept = [share for name, share in row.items() if name not in ("ar", "vi")]
    assert statistics.fmean(kept) == pytest.approx(0.803, abs=0.0005)


@pytest.mark.parametrize(
    ("task", "sizes", "comparable"),
    [
        ("xnli", {"en": 5010, "de": 2490, "ja": 5010}, {"en"}),
        ("pawsx", {"en": 1983, "de": 2000, "fr": 300, "ja": 2000}, {"de"}),
        ("udpos", {"en": 20, "fi": 77, "de": 977, "ar": 1680}, {"ar"}),
        ("udpos, syntactic words", {"ar": 1680}, set()),
        ("retrieval", {"sw": 390, "th": 1000, "de": 1000, "fi": 1000}, {"sw", "de"}),
        ("word_alignment", {"en": 245}, set()),
        ("panx", {"en": 10_000}, set()),
    ],
)
def test_a_test_set_of_another_size_is_not_comparable(task, sizes, comparable):
    name = "tatoeba" if task == "retrieval" else task
    task = task.partition(",")[0]
    assert comparable_languages(task, name, pivot="en", sizes=sizes) == comparable


def test_every_published_language_has_the_size_of_its_official_test_set():
    for task, published in PUBLISHED.items():
        assert published.languages <= TASKS[task].test_sizes.keys()
    # Counted in XTREME's files, and those of UD 2.5.
    counted = {"ar": 1680, "bg": 1116, "el": 456, "en": 5440, "es": 3147, "hi": 2684}
    counted |= {"ru": 8976, "tr": 4785, "ur": 535, "vi": 800, "zh": 3455}
    counted |= {"de": 22_358, "fr": 5009}
    assert TASKS["udpos"].test_sizes == counted
