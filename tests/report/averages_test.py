"""No average of a table mixes sets of languages, whatever results it is made of."""

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_files import fine_tuned, retrieval, write_results

from amber_jax.evaluation.results import read_results
from amber_jax.report.grouping import group_results
from amber_jax.report.tables import PUBLISHED_ROW, build_tables

LANGUAGES = st.sampled_from(["ar", "de", "en", "fr", "vi", "zh", "xx", "yy"])
SHARES = st.floats(0, 1)
ONE_RESULT = st.one_of(
    st.builds(
        lambda task, scores, model, seed: fine_tuned(
            task, model, scores=scores, seed=seed
        ),
        st.sampled_from(["udpos", "xnli"]),
        st.dictionaries(LANGUAGES, SHARES, min_size=1),
        st.sampled_from("AB"),
        st.integers(1, 2),
    ),
    st.builds(
        lambda scores, model: retrieval(
            model, name="tatoeba", scores=scores, candidates=1000
        ),
        st.dictionaries(LANGUAGES, st.tuples(SHARES, SHARES), min_size=1),
        st.sampled_from("AB"),
    ),
)


@settings(max_examples=50, deadline=None)
@given(results=st.lists(ONE_RESULT, min_size=1, max_size=5))
def test_no_average_mixes_sets_of_languages(tmp_path_factory, results):
    path = write_results(tmp_path_factory.mktemp("any") / "results.json", *results)
    for evaluation in group_results(read_results(path)):
        for table in build_tables(evaluation):
            labels = [column.label for column in table.columns]
            assert len(set(labels)) == len(labels)
            assert len({row.full_label for row in table.rows}) == len(table.rows)
            for row in table.rows:
                check_row(table, row)


def check_row(table, row):
    metric = table.columns[0].metric
    by_language = {
        column.label: cell.share
        for column, cell in zip(table.columns, row.cells, strict=True)
        if column.languages == {column.label} and cell is not None
    }
    for column, one in zip(table.columns, row.cells, strict=True):
        if one is None or column.metric != metric:
            continue
        if row.label == "Unicoder":
            assert len(column.languages) >= 13
        else:
            assert column.languages <= by_language.keys()
            mean = statistics.fmean(by_language[name] for name in column.languages)
            # The paper rounds its averages once more.
            rounding = 0.001 if row.kind == PUBLISHED_ROW else 1e-9
            assert one.share == pytest.approx(mean, abs=rounding)
