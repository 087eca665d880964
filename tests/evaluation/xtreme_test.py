"""XTREME's prediction folders: written, read back and scored."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.errors import UserError
from amber_jax.evaluation.xtreme import (
    LANGUAGES,
    read_answers,
    read_tags,
    score_folder,
    write_predictions,
)
from amber_jax.tasks import TASKS

NAMED = {task.xtreme_folder: task for task in TASKS.values()}

# Two languages of each task; udpos 100 and 57.1 % F1, xnli 50 and 100 % and so on.
GOLD = {
    "udpos": {
        "de": [["NOUN", "NOUN", "VERB"], ["PUNCT"]],
        "fr": [["NOUN", "NOUN", "VERB", "PUNCT"]],
    },
    "panx": {
        "de": [["B-PER", "I-PER", "O"], ["B-LOC"]],
        "fr": [["B-ORG", "I-ORG", "O", "O"]],
    },
    "xnli": {"de": ["neutral", "entailment"], "fr": ["contradiction"]},
    "pawsx": {"de": ["0", "1"], "fr": ["1", "1"]},
    "tatoeba": {"de": [3, 0, 1], "fr": [0]},
}
PREDICTED = {
    "udpos": {
        "de": [["NOUN", "NOUN", "VERB"], ["PUNCT"]],
        "fr": [["NOUN", "PROPN", "VERB", "PUNCT"]],
    },
    "panx": {
        "de": [["I-PER", "I-PER", "O"], ["O"]],
        "fr": [["B-ORG", "O", "O", "O"]],
    },
    "xnli": {"de": ["neutral", "neutral"], "fr": ["contradiction"]},
    "pawsx": {"de": ["1", "0"], "fr": ["1", "1"]},
    "tatoeba": {"de": [3, 0, 2], "fr": [1]},
}
TWO = dict.fromkeys(GOLD, ("de", "fr"))


def write(folder, answers):
    for task, languages in answers.items():
        for language, predictions in languages.items():
            write_predictions(folder, NAMED[task], language, predictions)


@pytest.fixture
def folders(tmp_path):
    write(tmp_path / "predictions", PREDICTED)
    write(tmp_path / "labels", GOLD)
    return tmp_path / "predictions", tmp_path / "labels"


def test_the_files_are_those_of_xtreme(folders):
    predictions, _ = folders
    text = {
        path.relative_to(predictions).as_posix(): path.read_bytes()
        for path in predictions.rglob("*.tsv")
    }
    assert len(text) == 10
    assert text["udpos/test-de.tsv"] == b"NOUN\nNOUN\nVERB\n\nPUNCT\n\n"
    assert text["panx/test-de.tsv"] == b"I-PER\nI-PER\nO\n\nO\n\n"
    assert text["xnli/test-de.tsv"] == b"neutral\nneutral\n"
    assert text["pawsx/test-fr.tsv"] == b"1\n1\n"
    assert text["tatoeba/test-de.tsv"] == b"3\n0\n2\n"


def test_every_task_is_scored_in_percent_with_its_average(folders):
    scores = score_folder(*folders, languages=TWO)
    f1 = 100 * 4 / 7
    assert scores["udpos"]["f1"] == pytest.approx(
        {"de": 100, "fr": f1, "average": (100 + f1) / 2}
    )
    assert scores["udpos"]["precision"]["fr"] == pytest.approx(50)
    assert scores["udpos"]["recall"]["fr"] == pytest.approx(100 * 2 / 3)
    assert scores["panx"]["f1"] == pytest.approx(
        {"de": 200 / 3, "fr": 0, "average": 100 / 3}
    )
    assert scores["xnli"] == {"accuracy": {"de": 50, "fr": 100, "average": 75}}
    assert scores["pawsx"] == {"accuracy": {"de": 0, "fr": 100, "average": 50}}
    assert scores["tatoeba"]["accuracy"] == pytest.approx(
        {"de": 200 / 3, "fr": 0, "average": 100 / 3}
    )


def test_only_tasks_of_both_folders_are_scored(folders):
    predictions, labels = folders
    (labels / "xnli").rename(labels / "other")
    assert list(score_folder(predictions, labels, languages=TWO)) == [
        "udpos", "panx", "pawsx", "tatoeba"
    ]  # fmt: skip


def test_missing_languages_are_named(folders):
    with pytest.raises(UserError, match="no test-XX.tsv for en, es, ja, ko, zh;"):
        score_folder(*folders, languages={"pawsx": LANGUAGES["pawsx"]})


def test_a_folder_without_a_known_task_is_told(folders, tmp_path):
    with pytest.raises(UserError, match="share no folder called udpos, panx"):
        score_folder(folders[0], tmp_path / "absent")
    with pytest.raises(UserError, match="nothing to score"):
        score_folder(*folders, languages={"udpos": []})  # no file in labels/udpos


SHORT = [
    ("xnli", "neutral\n", "2 gold and 1 predicted labels"),
    ("xnli", "neutral\nneutral\nneutral\n", "2 gold and 3 predicted labels"),
    ("xnli", "neutral\n\n", "line 2 is empty"),
    ("udpos", "NOUN\nNOUN\n\nPUNCT\n\n", "sentence 1 has 3 gold tags and 2 predicted"),
    ("udpos", "NOUN\nNOUN\nVERB\n\n", "2 gold and 1 predicted sentences"),
    ("udpos", "NOUN\nNOUN\nVERB\nPUNCT\n", "2 gold and 1 predicted sentences"),
    ("udpos", "NOUN\nNOUN\nVERB x\n", "line 3 is 'VERB x'; wanted one tag"),
    ("udpos", "NOUN\nNOUN\nVERB\n\n\nPUNCT\n", "2 gold and 3 predicted sentences"),
]


@pytest.mark.parametrize(("task", "text", "message"), SHORT)
def test_a_file_of_another_length_is_refused_where_xtreme_cuts(
    folders, task, text, message
):
    (folders[0] / task / "test-de.tsv").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        score_folder(*folders, languages=TWO)
    assert str(folders[0] / task / "test-de.tsv") in str(caught.value)


@pytest.mark.parametrize("text", ["X\nY\n\nZ\n\n", "X\nY\n\nZ\n", "X\r\nY\r\n \r\nZ"])
def test_the_last_empty_line_may_be_missing(tmp_path, text):
    path = tmp_path / "test-de.tsv"
    path.write_bytes(text.encode())
    assert read_tags(path) == [["X", "Y"], ["Z"]]


tags = st.lists(
    st.lists(st.sampled_from(TASKS["udpos"].labels), min_size=1, max_size=5), max_size=5
)


@given(tags, st.lists(st.integers(0, 999).map(str)))
@settings(max_examples=50)
def test_what_is_written_is_read_back(tmp_path_factory, tags, answers):
    folder = tmp_path_factory.mktemp("written")
    assert read_tags(write_predictions(folder, NAMED["udpos"], "de", tags)) == tags
    path = write_predictions(folder, NAMED["tatoeba"], "de", answers)
    assert read_answers(path) == answers


@pytest.mark.parametrize("answer", ["", "a b", "a\n", "a\tb"])
def test_an_answer_that_is_no_line_is_a_mistake_in_the_program(tmp_path, answer):
    with pytest.raises(ValueError, match="is no answer of xnli"):
        write_predictions(tmp_path, NAMED["xnli"], "de", [answer])


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_predictions(tmp_path / "file", NAMED["xnli"], "de", ["neutral"])


def test_the_languages_are_xtremes():
    assert {task: len(set(LANGUAGES[task])) for task in LANGUAGES} == {
        "udpos": 33, "panx": 40, "pawsx": 7, "xnli": 15, "tatoeba": 36
    }  # fmt: skip
