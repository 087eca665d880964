"""What holds for every tokenizer, whatever its kind."""

import errno
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amber_jax.errors import UserError
from amber_jax.tokenization import SpecialTokens, load_tokenizer, save_once

ANY_TEXT = st.text(
    st.characters(codec=None) | st.sampled_from("[]#\u2581\ufeff\0\ud800")
)
FIXTURE_IS_IMMUTABLE = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FIXTURE_IS_IMMUTABLE
@given(text=ANY_TEXT)
def test_any_text_encodes_to_ids_that_are_not_special(tokenizer, text):
    ids = tokenizer.encode(text)
    assert all(0 <= i < tokenizer.vocab_size for i in ids)
    special = tokenizer.special
    assert not {special.pad, special.cls, special.sep, special.mask} & {*ids}
    assert isinstance(tokenizer.decode(ids), str)
    assert len(tokenizer.word_starts(ids)) == len(tokenizer.pieces(ids)) == len(ids)
    assert not ids or tokenizer.word_starts(ids)[0]


@FIXTURE_IS_IMMUTABLE
@given(texts=st.lists(ANY_TEXT, max_size=5))
def test_a_batch_encodes_as_its_texts_do(tokenizer, texts):
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(t) for t in texts]


def test_special_names_in_text_are_ordinary_words(tokenizer):
    special = tokenizer.special
    named = (special.pad, special.cls, special.sep, special.mask)
    for name in ("[PAD]", "[CLS]", "[SEP]", "[MASK]", *tokenizer.pieces(named)):
        ids = tokenizer.encode(f"a {name} b{name}")
        assert not {*ids} & ({*tokenizer.special.ids()} - {tokenizer.special.unk})
        assert len(ids) > 4


@pytest.mark.parametrize("kind", ["covering", "fallback", "wordpiece"])
def test_special_tokens_have_berts_names_and_the_lowest_ids(kind, request):
    tokenizer = request.getfixturevalue(kind)
    special = tokenizer.special
    assert special == SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
    names = tokenizer.pieces(special.ids())
    assert names == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.word_starts(special.ids()) == [True] * 5


def test_decoding_skips_special_tokens(tokenizer):
    special = tokenizer.special
    ids = tokenizer.encode("a b")
    framed = [special.cls, *ids, special.sep, special.pad, special.mask]
    assert tokenizer.decode(framed) == tokenizer.decode(ids) == "a b"


def test_ids_may_be_numpy_integers(tokenizer):
    ids = np.array(tokenizer.encode("a b"), np.int32)
    assert tokenizer.decode(ids) == "a b"
    assert tokenizer.pieces(ids) == tokenizer.pieces(ids.tolist())
    assert tokenizer.word_starts(ids) == tokenizer.word_starts(ids.tolist())


def test_punctuation_is_a_flag_for_every_id(tokenizer):
    flags = tokenizer.punctuation()
    assert flags.shape == (tokenizer.vocab_size,) and flags.dtype == bool
    assert not flags[list(tokenizer.special.ids())].any()
    marked = tokenizer.pieces(np.flatnonzero(flags))
    assert {",", "."} <= {*marked}
    texts = [tokenizer.decode([i]) for i in np.flatnonzero(flags)]
    assert not any(c.isalnum() for text in texts for c in text)


def test_saving_and_loading_changes_nothing(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "here")
    loaded = load_tokenizer(tmp_path / "here")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.vocab_size == tokenizer.vocab_size
    assert loaded.special == tokenizer.special
    assert loaded.encode("the cats, 中文") == tokenizer.encode("the cats, 中文")


def test_the_fingerprint_is_independent_of_the_path(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert load_tokenizer(tmp_path / "there").fingerprint == tokenizer.fingerprint
    for content in (tmp_path / "there").iterdir():
        if content.suffix != ".json":
            assert load_tokenizer(content).fingerprint == tokenizer.fingerprint


def test_fingerprints_of_different_vocabularies_differ(covering, fallback, wordpiece):
    kinds = [covering, fallback, wordpiece]
    assert len({tokenizer.fingerprint for tokenizer in kinds}) == 3


def test_saving_once_more_is_no_change(tokenizer, tmp_path):
    save_once(tokenizer, tmp_path / "vocabulary")
    before = {p.name: p.read_bytes() for p in (tmp_path / "vocabulary").iterdir()}
    save_once(tokenizer, tmp_path / "vocabulary")
    after = {p.name: p.read_bytes() for p in (tmp_path / "vocabulary").iterdir()}
    assert before == after and [p.name for p in tmp_path.iterdir()] == ["vocabulary"]


def test_another_tokenizer_is_never_overwritten(covering, wordpiece, tmp_path):
    save_once(covering, tmp_path / "vocabulary")
    with pytest.raises(UserError, match="holds another tokenizer"):
        save_once(wordpiece, tmp_path / "vocabulary")
    fingerprint = load_tokenizer(tmp_path / "vocabulary").fingerprint
    assert fingerprint == covering.fingerprint


def test_a_folder_of_other_files_is_never_overwritten(wordpiece, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="cannot be read"):
        save_once(wordpiece, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_save_that_fails_leaves_nothing_behind(wordpiece, tmp_path, monkeypatch):
    def full_disk(directory):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wordpiece, "save", full_disk)
    with pytest.raises(UserError, match="No space left on device"):
        save_once(wordpiece, tmp_path / "vocabulary")
    assert not list(tmp_path.iterdir())


def test_content_that_changed_after_saving_is_refused(wordpiece, tmp_path):
    wordpiece.save(tmp_path)
    with (tmp_path / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("stowaway\n")
    with pytest.raises(UserError, match="changed or mixed"):
        load_tokenizer(tmp_path)


def test_a_folder_whose_model_is_gone_is_refused(covering, tmp_path):
    covering.save(tmp_path)
    (tmp_path / "sentencepiece.model").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "config", ["", "{", "[]", "{}", json.dumps({"kind": "bpe", "fingerprint": "0"})]
)
def test_a_folder_with_a_bad_config_is_refused(config, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(UserError, match="wanted a folder|kind is"):
        load_tokenizer(tmp_path)


def test_paths_without_a_tokenizer_are_refused(tmp_path):
    for name in ("absent", "absent.model", "absent.txt", "spm.json"):
        with pytest.raises(UserError, match=name):
            load_tokenizer(tmp_path / name)


def test_importing_the_package_loads_no_heavy_library():
    code = "import sys, amber_jax.tokenization as t; print(*sys.modules)"
    names = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"jax", "tensorflow", "sentencepiece", "tokenizers"} & {*names}


@pytest.mark.parametrize(
    ("special", "size", "words"),
    [
        (SpecialTokens(0, 1, 2, 3, 4), 60, range(5, 60)),
        (SpecialTokens(0, 100, 101, 102, 103), 119_547, range(104, 119_547)),  # mBERT
        (SpecialTokens(1, 3, 0, 2, 250_001), 250_002, range(4, 250_001)),  # XLM-R
    ],
)
def test_words_are_the_longest_run_between_special_pieces(special, size, words):
    assert special.words(size) == words
