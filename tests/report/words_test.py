import numpy as np
import pytest
from report_files import probe_arrays

from amber_jax.report.inputs import Probe
from amber_jax.report.words import view_words


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["▁The", "▁vi", "rus", "."], ["The", "virus."]),
        (["The", "vi", "##rus", "."], ["The", "virus", "."]),
        (["rus", "▁The"], ["rus", "The"]),
        (["▁", "病毒", "扩散", "▁vi", "rus"], ["病毒", "扩散", "virus"]),
    ],
)
def test_pieces_are_put_together_to_words(pieces, words):
    probe = Probe(**probe_arrays(src=pieces, tgt=["▁x"]))
    assert view_words(probe).src == words


def test_attention_to_a_word_is_a_sum_and_from_a_word_a_mean():
    arrays = probe_arrays(src=["▁a", "▁b", "c"], tgt=["▁x", "y"])
    arrays["src_to_tgt"] = np.array([[0.25, 0.5], [0.1, 0.3], [0.2, 0.6]])
    arrays["tgt_to_src"] = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.3]])
    arrays["similarity"] = np.array([[0.2, 0.4], [0.1, 0.3], [0.5, 0.7]])
    view = view_words(Probe(**arrays))
    forward, backward = np.array([[0.75], [0.6]]), np.array([[0.3], [0.5]])
    np.testing.assert_allclose(view.attention, np.sqrt(forward * backward))
    np.testing.assert_allclose(view.similarity, [[0.3], [0.4]])
