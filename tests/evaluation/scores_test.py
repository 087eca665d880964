"""Every rule of the chunk F1 by a case of its own, and alignment scores by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.datasets.examples import AlignedPair, LabeledPair, TaggedSentence
from amber_jax.errors import UserError
from amber_jax.evaluation.scores import (
    accuracy,
    alignment_scores,
    chunk_f1,
    chunk_scores,
    chunks,
    label_scores,
)
from amber_jax.tasks import TASKS

CHUNKS = [
    # sentences                                  chunks: type, first and last place
    (["NOUN NOUN VERB"],                         ["NOUN 0 1", "VERB 2 2"]),
    (["NOUN VERB NOUN"],                         ["NOUN 0 0", "VERB 1 1", "NOUN 2 2"]),
    # S: every tag is a chunk; I: equal ones merge.
    (["SYM SYM", "SCONJ"],                       ["SYM 0 0", "SYM 1 1", "SCONJ 3 3"]),
    (["INTJ INTJ NOUN INTJ"],                    ["INTJ 0 1", "NOUN 2 2", "INTJ 3 3"]),
    (["SCONJ INTJ"],                             ["SCONJ 0 0", "INTJ 1 1"]),
    # E is no tag of UPOS, but a type may begin with it: each ends and starts.
    (["E E"],                                    ["E 0 0", "E 1 1"]),
    (["E-X I-X"],                                ["X 0 0", "X 1 1"]),
    # Sentence borders take a place, and end what is open.
    (["NOUN", "NOUN"],                           ["NOUN 0 0", "NOUN 2 2"]),
    (["NOUN", "", "NOUN"],                       ["NOUN 0 0", "NOUN 3 3"]),
    # "_" and "-" inside a tag: the type is what stands behind the last "-".
    (["X-NOUN Y-NOUN"],                          ["NOUN 0 1"]),
    (["A_B A_B"],                                ["A_B 0 1"]),
    (["_ _ X"],                                  ["_ 0 1", "X 2 2"]),
    (["- -"],                                    [" 0 1"]),
    # Behind S a tag of the same type starts nothing: the old start is kept.
    (["S-X N-X"],                                ["X 0 0", "X 0 1"]),
    # BIO and outside tags.
    (["B-X I-X B-X O I-X"],                      ["X 0 1", "X 2 2", "X 4 4"]),
    (["O . OTHER"],                              []),
    (["N-O"],                                    []),  # the border has the same type
]  # fmt: skip


@pytest.mark.parametrize(("sentences", "expected"), CHUNKS)
def test_each_rule_of_a_chunk(sentences, expected):
    spans = chunks([sentence.split() for sentence in sentences])
    assert [f"{kind} {first} {last}" for kind, first, last in spans] == expected


SCORES = [
    # gold                    predicted                 precision  recall  f1
    ("NOUN NOUN VERB",        "NOUN NOUN VERB",         1, 1, 1),
    ("NOUN NOUN VERB",        "NOUN VERB VERB",         0, 0, 0),
    ("NOUN NOUN VERB PUNCT",  "NOUN PROPN VERB PUNCT",  1 / 2, 2 / 3, 4 / 7),
    ("SYM SYM VERB",          "SYM X VERB",             2 / 3, 2 / 3, 2 / 3),
    ("INTJ INTJ VERB",        "INTJ X VERB",            1 / 3, 1 / 2, 2 / 5),
    ("CCONJ X",               "SCONJ X",                1 / 2, 1 / 2, 1 / 2),
    ("NOUN VERB",             "O O",                    0, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "predicted", "precision", "recall", "f1"), SCORES)
def test_chunk_scores_by_hand(gold, predicted, precision, recall, f1):
    assert chunk_scores([gold.split()], [predicted.split()]) == pytest.approx(
        {"precision": precision, "recall": recall, "f1": f1}
    )


# Entities by hand: each row is one rule of how XTREME judges IOB2 tags.
ENTITIES = [
    # gold                      predicted                     p      r      f1
    ("B-PER I-PER O B-LOC",     "B-PER I-PER O B-LOC",        1,     1,     1),
    ("B-PER I-PER O B-LOC",     "B-PER O O B-LOC",            1 / 2, 1 / 2, 1 / 2),
    ("B-PER I-PER O B-LOC",     "B-PER I-PER O O",            1,     1 / 2, 2 / 3),
    ("B-PER I-PER O B-LOC",     "B-ORG I-ORG O B-LOC",        1 / 2, 1 / 2, 1 / 2),
    # An I without a B before it starts an entity all the same.
    ("B-PER I-PER O B-LOC",     "I-PER I-PER O I-LOC",        1,     1,     1),
    ("B-ORG I-ORG",             "I-ORG B-ORG",                0,     0,     0),
    # An I of another type starts a new one.
    ("B-PER B-LOC I-LOC",       "B-PER I-LOC I-LOC",          1,     1,     1),
    ("B-PER I-PER I-PER",       "B-PER I-LOC I-PER",          0,     0,     0),
    # A B ends an entity of the same type, an I goes on with it.
    ("B-LOC B-LOC",             "B-LOC I-LOC",                0,     0,     0),
    ("B-LOC B-LOC O",           "B-LOC B-LOC B-LOC",          2 / 3, 1,     4 / 5),
    ("O O O",                   "O B-PER O",                  0,     0,     0),
    ("O B-PER O",               "O O O",                      0,     0,     0),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "predicted", "precision", "recall", "f1"), ENTITIES)
def test_entities_by_hand(gold, predicted, precision, recall, f1):
    assert chunk_scores([gold.split()], [predicted.split()]) == pytest.approx(
        {"precision": precision, "recall": recall, "f1": f1}
    )


def test_entities_are_counted_over_all_sentences_and_end_with_each():
    gold = [["B-PER", "I-PER"], ["I-PER", "O"], ["B-ORG"]]
    predicted = [["B-PER", "I-PER"], ["O", "B-PER"], ["B-LOC"]]
    assert chunk_scores(gold, predicted) == pytest.approx(
        {"precision": 1 / 3, "recall": 1 / 3, "f1": 1 / 3}
    )


def test_a_task_is_scored_by_the_metrics_of_its_record():
    words = [TaggedSentence(("a", "b", "c"), ("NOUN", "NOUN", "VERB"))]
    scores = label_scores(TASKS["udpos"], words, [["NOUN", "VERB", "VERB"]])
    # XTREME's F1: equal neighbors are one chunk.
    assert scores == {"f1": 0.0, "accuracy": pytest.approx(2 / 3)}
    names = [TaggedSentence(("a", "b", "c"), ("B-PER", "I-PER", "B-LOC"))]
    scores = label_scores(TASKS["panx"], names, [["B-PER", "I-PER", "O"]])
    assert scores == pytest.approx({"f1": 2 / 3, "accuracy": 2 / 3})
    pairs = [
        LabeledPair(first, "x", label) for first, label in ("a1", "b0", ("NS", "1"))
    ]
    scores = label_scores(TASKS["pawsx"], pairs, [["1"], ["1"], ["0"]])
    assert scores == pytest.approx({"accuracy": 1 / 3, "translated": 1 / 2})


def test_the_borders_of_sentences_matter():
    gold = [["NOUN", "NOUN"], ["NOUN"]]
    assert chunk_f1(gold, [["NOUN", "X"], ["NOUN"]]) == pytest.approx(2 / 5)
    assert chunk_f1([["NOUN", "NOUN", "NOUN"]], [["NOUN", "X", "NOUN"]]) == 0


sentences_of_tags = st.lists(
    st.lists(st.sampled_from([*TASKS["udpos"].labels, "B-X", "E-X", "S-X", "O", "_"])),
    max_size=4,
).filter(any)


@given(sentences_of_tags)
@settings(max_examples=50)
def test_gold_itself_scores_one_if_it_has_a_chunk(gold):
    has_chunk = any(True for _ in chunks(gold))
    assert chunk_f1(gold, gold) == float(has_chunk)


@given(sentences_of_tags, st.data())
@settings(max_examples=50)
def test_f1_is_a_share_and_does_not_care_which_is_gold(gold, data):
    tags = st.sampled_from(TASKS["udpos"].labels)
    other = [data.draw(st.lists(tags, min_size=len(s), max_size=len(s))) for s in gold]
    f1 = chunk_f1(gold, other)
    assert 0 <= f1 <= 1
    assert f1 == pytest.approx(chunk_f1(other, gold))


@pytest.mark.parametrize(
    ("gold", "predicted", "message"),
    [
        ([["X"]], [["X"], ["X"]], "1 gold and 2 predicted sentences"),
        ([["X", "X"]], [["X"]], "sentence 1 has 2 gold tags and 1 predicted"),
        ([], [], "0 gold and 0 predicted sentences"),
        ([[]], [[]], "no tag to score"),
    ],
)
def test_a_short_prediction_is_told_and_not_cut(gold, predicted, message):
    with pytest.raises(UserError, match=message):
        chunk_f1(gold, predicted)


def test_accuracy_is_the_share_of_equal_places():
    assert accuracy(["a", "b", "c", "d"], ["a", "b", "d", "c"]) == 0.5
    with pytest.raises(UserError, match="2 gold and 1 predicted labels"):
        accuracy(["a", "b"], ["a"])
    with pytest.raises(UserError, match="at least one"):
        accuracy([], [])


def aligned(sure, possible=()):
    sure = frozenset(sure)
    return AlignedPair(("a",) * 9, ("b",) * 9, sure, sure | frozenset(possible))


def test_alignment_scores_by_hand():
    # A = 4 links, S = 3, P = 4; |A & S| = 2, |A & P| = 3.
    gold = [aligned([(0, 0), (1, 1), (2, 2)], [(3, 3)])]
    predicted = [[(0, 0), (1, 1), (3, 3), (4, 4)]]
    precision, recall = 3 / 4, 2 / 3
    assert alignment_scores(gold, predicted) == pytest.approx(
        {
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / (precision + recall),
            "aer": 1 - 5 / 7,
        }
    )


def test_alignment_scores_count_over_the_corpus():
    gold = [aligned([(0, 0)]), aligned([(0, 0), (1, 1), (2, 2)])]
    predicted = [{(0, 0)}, {(0, 0), (5, 5)}]
    scores = alignment_scores(gold, predicted)
    assert scores["precision"] == pytest.approx(2 / 3)
    assert scores["recall"] == pytest.approx(2 / 4)


def test_perfect_and_empty_alignments():
    gold = [aligned([(0, 0), (1, 2)])]
    assert alignment_scores(gold, [[(1, 2), (0, 0), (0, 0)]]) == {
        "precision": 1, "recall": 1, "f1": 1, "aer": 0
    }  # fmt: skip
    assert alignment_scores(gold, [[]]) == {
        "precision": 0, "recall": 0, "f1": 0, "aer": 1
    }  # fmt: skip


links = st.frozensets(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8)


@given(links.filter(len), links)
@settings(max_examples=50)
def test_with_sure_links_only_aer_is_one_less_f1(sure, predicted):
    scores = alignment_scores([aligned(sure)], [predicted])
    assert scores["aer"] == pytest.approx(1 - scores["f1"])


def test_alignments_that_cannot_be_scored_are_told():
    with pytest.raises(UserError, match="no sure link"):
        alignment_scores([aligned([], [(0, 0)])], [[(0, 0)]])
    with pytest.raises(UserError, match="1 gold and 2 predicted sentence pairs"):
        alignment_scores([aligned([(0, 0)])], [[], []])
