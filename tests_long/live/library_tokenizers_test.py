"""Tokenizers that are read as they are: `transformers` gives equal ids and rows."""

import library_folders
import pytest
import sentencepiece
import transformers

from amber_jax.convert import tokenizer_files
from amber_jax.tokenization import load_tokenizer

TIES = 3  # of 20,000 sentences, see `library_unigram`
WRITERS = {
    "fairseq": library_folders.write_fairseq,
    "uncased": library_folders.write_uncased,
    "byte_level": library_folders.write_byte_level,
}
ODD = [
    *("", " ", "  two \t words\n", "\ufeffBOM", "ꙮ ꙮꙮ", "ａｂｃ", "ﬁ½ⅣＡ", "か\u3099"),
    *("O\u0323\u0300re\u0323\u0301", "ị̀hụ́nánya", "a\u00adb\u200bc", "\x07\x00", "مَدَّ"),
]


@pytest.fixture(scope="module")
def sentences(many_sentences):
    return many_sentences[::3][:20_000]


@pytest.fixture(scope="module", params=[*WRITERS])
def folder(request, sentences, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    WRITERS[request.param](folder, sentences[::4], vocab_size=4000)
    return folder


def test_exported_tokenizers_give_equal_ids(folder, sentences, tmp_path):
    ours = load_tokenizer(folder)
    tokenizer_files.write(tmp_path, ours, max_positions=64)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    texts = [*sentences, *ODD]
    options = {"add_special_tokens": False, "verbose": False, "truncation": False}
    assert theirs(texts, **options)["input_ids"] == ours.encode_batch(texts)
    special = ours.special
    x, y = ours.encode("one text"), ours.encode("another")
    between = [special.sep] * special.separators
    joined = [special.cls, *x, *between, *y, special.sep]
    assert theirs("one text", "another")["input_ids"] == joined
    assert theirs("one text")["input_ids"] == [special.cls, *x, special.sep]
    names = ("pad", "unk", "cls", "sep", "mask")
    assert [getattr(theirs, f"{name}_token_id") for name in names] == [*special.ids()]


@pytest.fixture(scope="module")
def published(sentences, tmp_path_factory):
    """A folder as XLM-R was first published."""
    folder = tmp_path_factory.mktemp("published")
    library_folders.write_fairseq(folder, sentences[::4], vocab_size=4000)
    return folder


def differing(wanted, theirs, texts):
    pairs = zip(texts, wanted, theirs, strict=True)
    other = [text for text, ids, others in pairs if ids != others]
    print(f"{len(texts)} sentences, {len(other)} differ: {other[:3]}")
    return other


def test_fairseqs_ids_are_those_of_the_published_tokenizer(published, sentences):
    ours = load_tokenizer(published)
    theirs = transformers.XLMRobertaTokenizer.from_pretrained(published)
    their_ids = theirs(sentences, add_special_tokens=False, verbose=False)["input_ids"]
    assert len(differing(ours.encode_batch(sentences), their_ids, sentences)) <= TIES
    assert theirs.mask_token_id == ours.special.mask == ours.vocab_size - 1


def test_fairseqs_ids_are_sentencepieces_shifted_by_one(published, sentences):
    ours = load_tokenizer(published)
    model = sentencepiece.SentencePieceProcessor(
        model_file=str(published / "sentencepiece.bpe.model")
    )
    texts = [*sentences, *ODD]
    shifted = [[i + 1 if i else 3 for i in ids] for ids in model.encode(texts)]
    other = differing(ours.encode_batch(texts), shifted, texts)
    assert len(other) <= TIES and not {*other} & {*ODD}
