"""What answers without an encoder: by counting, or knowing nothing."""

from amber_jax.datasets.examples import LabeledPair, TaggedSentence
from amber_jax.finetuning.baselines import baselines
from amber_jax.finetuning.heads import HEADS
from amber_jax.tasks import PAIRS, TAGS


def sentence(words, tags):
    return TaggedSentence(tuple(words.split("|")), tuple(tags))


def test_words_have_their_most_frequent_tag_or_that_of_the_test():
    train = [sentence("the|dog|the|cat", "ABAB"), sentence("runs", "C")]
    test = [sentence("the|bird|runs", "ABB")]
    tags = baselines(HEADS[TAGS].learned_by_counting(train), test)
    assert tags["majority"] == [["B", "B", "B"]]
    assert tags["frequent_tag"] == [["A", "A", "C"]]  # "bird" is new: A or B, first
    assert baselines({}, test).keys() == {"majority"}


def test_pairs_have_the_most_frequent_label_of_the_test():
    pairs = [LabeledPair("", "", label) for label in ("yes", "no", "no", "no")]
    counted = HEADS[PAIRS].learned_by_counting(pairs[:1])
    assert baselines(counted, pairs) == {"majority": [["no"]] * 4}
