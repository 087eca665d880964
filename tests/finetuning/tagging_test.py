"""Words, their pieces and their windows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.datasets.examples import TaggedSentence
from amber_jax.finetuning import tagging
from amber_jax.tokenization import SpecialTokens

TAGS = ("A", "B", "C")
IDS = {tag: number for number, tag in enumerate(TAGS)}


class Letters:
    """A tokenizer whose ids are code points; spaces have no piece."""

    special = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)

    def encode_batch(self, texts):
        return [[ord(letter) for letter in text if letter != " "] for text in texts]

    def decode(self, ids):
        return "".join(map(chr, ids)).replace("_", "")


def encode(*sentences, max_length):
    return tagging.encode_words(sentences, Letters(), IDS, max_length=max_length)


def sentence(words, tags):
    return TaggedSentence(tuple(words.split("|")), tuple(tags))


def test_a_label_stands_at_the_first_piece_of_its_word():
    (window,) = encode(sentence("ab|c|de", "ABC"), max_length=12)
    assert window == ([97, 98, 99, 100, 101], [], [1, 3, 4], [0, 1, 2])


def test_a_word_without_a_piece_is_unknown_and_still_tagged():
    (window,) = encode(sentence("a| |b", "ABC"), max_length=12)
    assert window.src_ids == [97, 1, 98]
    assert window.slots == [1, 2, 3]


def test_a_bare_word_mark_is_left_out_unless_it_is_all_there_is():
    (window,) = encode(sentence("_ab|c|_", "ABC"), max_length=12)
    assert window == ([97, 98, 99, 95], [], [1, 3, 4], [0, 1, 2])


def test_a_long_sentence_is_cut_between_words():
    windows = encode(sentence("abc|de|f|gh", "ABCA"), max_length=7)
    assert [window.src_ids for window in windows] == [
        [97, 98, 99, 100, 101],
        [102, 103, 104],
    ]
    assert [window.slots for window in windows] == [[1, 4], [1, 2]]


def test_a_word_longer_than_a_row_loses_its_end():
    (window,) = encode(sentence("abcdef", "B"), max_length=5)
    assert window == ([97, 98, 99], [], [1], [1])


words = st.lists(st.text("abc ", min_size=1, max_size=9), min_size=1, max_size=20)


@settings(max_examples=50)
@given(st.lists(words, min_size=1, max_size=5), st.integers(5, 12))
def test_every_word_has_its_tag_in_one_window(texts, max_length):
    sentences = [
        TaggedSentence(tuple(text), tuple(TAGS[len(word) % 3] for word in text))
        for text in texts
    ]
    windows = encode(*sentences, max_length=max_length)
    assert max(len(window.src_ids) for window in windows) <= max_length - 2
    labels = [TAGS[label] for window in windows for label in window.labels]
    assert labels == [tag for tagged in sentences for tag in tagged.tags]
