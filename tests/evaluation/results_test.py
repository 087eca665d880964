import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_files import fine_tuned, retrieval, word_alignment
from report_files import write_results as write_old_results

from amber_jax.errors import UserError
from amber_jax.evaluation.results import read_results, write_results


def text_of(*results):
    return json.dumps({"results": results})


def without(result, key):
    return {name: value for name, value in result.items() if name != key}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "results.json"),
        ("[]", "results.json"),
        ("[" * 100_000, "nested too deeply"),
        ('{"results": []}', "holds no results"),
        ('{"task": "retrieval"}', "has no 'results'"),
        ('{"results": [{"task": "retrieval"}]}', "has no 'name'"),
        (text_of(retrieval(task="mlqa")), "'mlqa', wanted one of udpos, panx"),
        (text_of(retrieval(scores={"es": (50.0, 60.0)})), "between 0 and 1"),
        (text_of(retrieval(scores={"es": (float("nan"), 0.1)})), "between 0 and 1"),
        (text_of(retrieval() | {"candidates": {"es": 3}}), "sizes lacks ru"),
        (text_of(retrieval() | {"scores": []}), "results.json"),
        (text_of(retrieval() | {"scores": {}, "candidates": {}}), "by language"),
        (text_of(retrieval() | {"scores": {"es": {"en_to_xx": 0}}}), "'xx_to_en'"),
        (text_of(retrieval() | {"scores": {"es": {}}}), "'xx_to_en'"),
        (text_of(retrieval(scores={"e\ns": (0.1, 0.1)})), "is not on one line"),
        (text_of(retrieval(candidates=0)), "sizes of es"),
        (text_of(without(retrieval(), "pivot")), "has no 'pivot'"),
        (text_of(retrieval(model=3)), "model: wanted text, found 3"),
        (text_of(retrieval(step=-1)), "whole number"),
        (text_of(retrieval(centred="no")), "centered: wanted true or false"),
        (text_of(retrieval(layers={"x": {"both": 0.5}})), "results.json"),
        (text_of(retrieval(layers={"0": {}})), "has no 'xx_to_en'"),
        (text_of(fine_tuned(metric="f1")), "its metric is 'f1', wanted 'accuracy'"),
        (text_of(without(fine_tuned(), "train")), "has no 'train'"),
        (text_of(without(fine_tuned(), "selection")), "has no 'selection'"),
        (text_of(without(fine_tuned(), "collapsed")), "has no 'collapsed'"),
        (text_of(fine_tuned(baselines={"en": {"majority": 33.3}})), "baselines of en"),
        (text_of(fine_tuned(seed="one")), "seed"),
        (text_of(without(word_alignment(), "baselines")), "has no 'baselines'"),
        (text_of(word_alignment(threshold="low")), "low"),
    ],
)
def test_malformed_results_are_told_with_their_file(tmp_path, text, reason):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.json") as caught:
        read_results(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match=r"absent\.json cannot be read"):
        read_results(tmp_path / "absent.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=50)
@given(
    result=st.sampled_from([retrieval(), fine_tuned("udpos"), word_alignment()]),
    data=st.data(),
)
def test_any_value_in_any_place_is_read_or_refused(tmp_path_factory, result, data):
    key = data.draw(st.sampled_from(sorted(result)))
    path = tmp_path_factory.mktemp("any") / "results.json"
    write_old_results(path, result | {key: data.draw(JSON)})
    try:
        read_results(path)
    except UserError as error:
        assert "results.json" in str(error) and "\n" not in str(error)


def test_words_that_cannot_be_printed_are_left_out(tmp_path):
    name = "A\x1b[31m\n\u202eB\ud800 C"
    path = write_old_results(tmp_path / "r.json", retrieval(name))
    assert read_results(path)[0].label == "A[31m B C"


def test_settings_and_details_tell_where_numbers_come_from(tmp_path):
    path = write_old_results(
        tmp_path / "r.json", retrieval(), fine_tuned(), word_alignment()
    )
    search, tuned, aligned = read_results(path)
    assert search.settings == {
        "layer": "2",
        "pooling": "mean",
        "special tokens": "left out",
        "similarity": "cosine",
    }
    assert tuned.details["selected by"] == "accuracy 71.0 at step 400"
    assert tuned.details["training examples"] == "900"
    assert aligned.settings["threshold"] == "0"


def test_files_of_earlier_versions_are_read_by_their_own_names(tmp_path):
    old = (
        retrieval(centred=True, similarity="csls", neighbours=4),
        fine_tuned("udpos", baseline_accuracy={}, untranslated={"en": 0}),
        word_alignment(),
    )
    search, tuned, aligned = read_results(write_old_results(tmp_path / "r.json", *old))
    assert (search.centered, search.neighbors, search.index) == (True, 4, "exact")
    assert search.sizes == {"es": 300, "ru": 300}
    assert (tuned.sizes["en"], tuned.train.examples) == (5010, 900)
    assert tuned.train.first_only == 0
    assert aligned.symmetrization == "intersection"


def test_what_is_written_is_read_again(tmp_path):
    averages = {"xx_to_en": 0.5, "en_to_xx": 0.6, "both": 0.55}
    old = write_old_results(
        tmp_path / "old.json",
        retrieval(layers={"0": averages}),
        fine_tuned(collapsed=["de"], left_out={"en": {"without label": 3}}),
        word_alignment(),
    )
    results = read_results(old)
    write_results(tmp_path / "new.json", results)
    assert read_results(tmp_path / "new.json") == results
    (first, *_) = json.loads((tmp_path / "new.json").read_text())["results"]
    assert first["average"] == pytest.approx(
        {"xx_to_en": 0.5, "en_to_xx": 0.6, "both": 0.55}
    )
    assert first.keys() == {
        *(field.name for field in dataclasses.fields(results[0])),
        "average",
    }
