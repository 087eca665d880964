"""Tokenizers of fewer pieces: text of these pieces is split as before."""

import json

import library_folders
import pytest

from amber_jax.errors import UserError
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.library import JsonTokenizer
from amber_jax.tokenization.library_file import parsed

KINDS = ["covering", "fallback", "wordpiece", "xlmr", "uncased"]


@pytest.fixture(params=KINDS)
def whole(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def ids(whole, text):
    """What the tokenizer cannot do without, and the pieces of a third of the text."""
    used = {i for line in whole.encode_batch(text[::3]) for i in line}
    return sorted({*used, *whole.special.ids(), *whole.indispensable()})


def test_text_of_the_pieces_gets_the_same_pieces(whole, ids, text):
    cut = whole.subset(ids)
    assert cut.vocab_size == len(ids) < whole.vocab_size or whole.vocab_size < 50
    assert cut.pieces(range(len(ids))) == whole.pieces(ids)
    for before, after in zip(
        whole.encode_batch(text[::3]), cut.encode_batch(text[::3]), strict=True
    ):
        assert [ids[i] for i in after] == before


def test_roles_and_joints_stay(whole, ids, tmp_path):
    cut = whole.subset(ids)
    assert cut.pieces(cut.special.ids()) == whole.pieces(whole.special.ids())
    assert cut.special.separators == whole.special.separators
    cut.save(tmp_path / "cut")
    back = load_tokenizer(tmp_path / "cut")
    assert back.fingerprint == cut.fingerprint
    assert back.special == cut.special
    assert back.fingerprint != whole.fingerprint or len(ids) == whole.vocab_size


def test_other_text_is_still_spelt(whole, ids, text):
    cut = whole.subset(ids)
    for line in cut.encode_batch(["unbelievable ꙮ hats", *text[1::30]]):
        assert all(0 <= i < cut.vocab_size for i in line)


def test_byte_level_vocabularies_cannot_be_cut(byte_level):
    with pytest.raises(UserError, match="only the vocabularies of WordPiece"):
        byte_level.indispensable()


def test_a_piece_around_texts_that_has_no_role_cannot_be_cut(text, tmp_path):
    library_folders.write_uncased(tmp_path, text)
    path = tmp_path / "tokenizer.json"
    fields = json.loads(path.read_text())
    fields["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"[X]": {"id": "[X]", "ids": [77], "tokens": ["[X]"]}},
    }
    special = load_tokenizer(tmp_path).special
    whole = JsonTokenizer(parsed(json.dumps(fields).encode(), str(path)), special)
    kept = sorted({*whole.special.ids(), *whole.indispensable()} - {77})
    with pytest.raises(UserError, match="the piece of id 77 around texts"):
        whole.subset(kept)
