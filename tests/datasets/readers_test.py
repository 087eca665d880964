"""The way in: which files are read and in what order, and labels that are no gold."""

import bz2
import functools
import gzip
import lzma

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amber_jax.datasets.readers import READERS, read_examples
from amber_jax.datasets.sentence_pairs import NO_GOLD
from amber_jax.datasets.tatoeba import read_tatoeba
from amber_jax.datasets.universal_dependencies import WITHHELD
from amber_jax.datasets.word_alignment_files import read_pharaoh, read_xl_wa
from amber_jax.errors import UserError
from amber_jax.evaluation.xtreme import read_answers, read_tags


def conllu(*words):
    rows = [
        f"{i}\t{word}\t_\t{tag}\t_\t_\t0\t_\t_\t_\n"
        for i, (word, tag) in enumerate((word.split("/") for word in words), start=1)
    ]
    return "".join(rows) + "\n"


def tagged(source, *, language="en", syntactic_words=False):
    return read_examples(
        "udpos", str(source), language=language, syntactic_words=syntactic_words
    )


def pairs(source, *, language="en", task="xnli"):
    return read_examples(task, str(source), language=language)


@pytest.fixture
def treebanks(tmp_path):
    # By path PUD would stand before ParTUT, by file name behind it.
    for folder, name in [
        ("English-PUD", "en_pud"),
        ("English-ParTUT", "en_partut"),
        ("English-EWT", "en_ewt"),
        ("French-PUD", "fr_pud"),
    ]:
        path = tmp_path / f"UD_{folder}" / f"{name}-ud-test.conllu"
        path.parent.mkdir()
        path.write_text(conllu(f"{name}/NOUN", "!/PUNCT"))
    return tmp_path


def test_the_treebanks_of_a_language_follow_by_file_name(treebanks):
    read = tagged(treebanks / "UD_*" / "{language}_*-ud-test.conllu")
    first_words = [sentence.words[0] for sentence in read.examples]
    assert first_words == ["en_ewt", "en_partut", "en_pud"]
    assert [name.rpartition("/")[2] for name in read.files] == [
        "en_ewt-ud-test.conllu", "en_partut-ud-test.conllu", "en_pud-ud-test.conllu"
    ]  # fmt: skip
    assert read.dropped == {}


def test_relative_paths_work_too(treebanks, monkeypatch):
    monkeypatch.chdir(treebanks)
    assert len(tagged("UD_*/{language}_*.conllu", language="fr").examples) == 1


def test_a_language_without_a_file_is_told(treebanks):
    with pytest.raises(UserError, match=r"no file .*/de_\*\.conllu for the language"):
        tagged(treebanks / "UD_*" / "{language}_*.conllu", language="de")


def test_a_file_may_have_a_bracket_in_its_name(tmp_path):
    path = tmp_path / "test[1]-en.tsv"
    path.write_text("a\tNOUN\n!\tPUNCT\n")
    assert len(tagged(tmp_path / "test[1]-{language}.tsv").examples) == 1


PACKED = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("suffix", PACKED)
def test_packed_files_are_told_by_their_suffix(tmp_path, suffix):
    text = conllu("It/PRON", "!/PUNCT")
    tree, lines, rows = (
        tmp_path / f"a{kind}{suffix}" for kind in (".conllu", ".tsv", "-en.tsv")
    )
    tree.write_bytes(PACKED[suffix](text.encode()))
    lines.write_bytes(PACKED[suffix](b"It\tPRON\n!\tPUNCT\n\n"))
    rows.write_bytes(PACKED[suffix](b"a\tb\tneutral\nc\td\tentailment\n"))
    assert tagged(tree).examples == tagged(lines).examples
    assert len(pairs(rows).examples) == 2


def test_what_is_left_out_is_counted(tmp_path):
    path = tmp_path / "en_x.conllu"
    path.write_text(conllu("_/NOUN", "_/PUNCT") + conllu("a/NOUN", "!/PUNCT"))
    assert tagged(path).dropped == {WITHHELD: 1}
    path = tmp_path / "test-en.tsv"
    path.write_text("a\tb\tneutral\na\tb\t-\nc\td\tentailment\n")
    assert pairs(path).dropped == {NO_GOLD: 1}


def test_a_treebank_without_words_only_matters_if_it_is_alone(tmp_path):
    withheld = tmp_path / "ar_nyuad-ud-test.conllu"
    withheld.write_text(conllu("_/NOUN", "_/PUNCT"))
    with pytest.raises(UserError, match="the files of 'ar' hold sentences without"):
        tagged(tmp_path / "{language}_*.conllu", language="ar")
    (tmp_path / "ar_padt-ud-test.conllu").write_text(conllu("a/NOUN", "!/PUNCT"))
    read = tagged(tmp_path / "{language}_*.conllu", language="ar")
    assert len(read.examples) == 1
    assert read.dropped == {WITHHELD: 1}
    assert len(read.files) == 2


def test_a_fused_word_follows_the_list_of_its_language(tmp_path):
    path = tmp_path / "xx_x.conllu"
    fused = "1-2\tboth\t" + "\t".join("_" * 8) + "\n"
    path.write_text(fused + conllu("a/ADJ", "b/ADV", "c/VERB"))
    for language, tag in [("fr", "ADJ"), ("it", "ADV"), ("de", "ADJ")]:
        assert tagged(path, language=language).examples == [
            (("both", "c"), (tag, "VERB"))
        ]
    (plain,) = tagged(path, language="fr", syntactic_words=True).examples
    assert plain.words == ("a", "b", "c")


PLACEHOLDERS = [
    ("test-en.tsv", "xnli", "a\tb\tneutral\n" * 2, "every label is 'neutral'"),
    ("test-en.tsv", "pawsx", "a\tb\t0\nc\td\t0\n", "every label is '0'"),
    ("test-en.tsv", "xnli", "a\tb\nc\td\n", "line 1 has two sentences and no label"),
    ("test-en.tsv", "xnli", "premise\thypo\tlabel\n", "has no examples"),
    ("test-en.tsv", "xnli", "", "has no examples"),
    ("test-en.tsv", None, "a\tX\nb\tX\n\nc\tX\n", "every label is 'X'"),
    ("test-en.tsv", None, "a\nb\n", "line 1 is 'a'; wanted a word, a tab and"),
    ("test-en.tsv", None, "\n\n", "has no examples"),
    ("en_x.conllu", None, conllu("a/X", "b/X"), "every label is 'X'"),
    ("en_x.conllu", None, "# nothing\n", "has no examples"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "task", "text", "message"), PLACEHOLDERS)
def test_labels_that_are_no_gold_are_refused(tmp_path, name, task, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        pairs(path, task=task) if task else tagged(path)
    assert str(path) in str(caught.value)


def test_one_file_of_placeholders_among_others_is_refused(tmp_path):
    (tmp_path / "a-en.tsv").write_text("a\tNOUN\n!\tPUNCT\n")
    (tmp_path / "b-en.tsv").write_text("a\tX\n")
    with pytest.raises(UserError, match="b-en.tsv: every label is 'X'"):
        tagged(tmp_path / "*-{language}.tsv")


def hostile(path):
    """Yields every reader as a function without arguments."""
    for task in READERS:
        yield functools.partial(read_examples, task, str(path), language="en")
    yield lambda: tagged(path, syntactic_words=True)
    yield lambda: read_xl_wa(path)
    yield lambda: read_pharaoh(path, path)
    yield lambda: read_pharaoh((path, path), path)
    yield lambda: read_answers(path)
    yield lambda: read_tags(path)
    yield lambda: read_tatoeba(path.parent)


pieces = st.sampled_from(
    [b"\t", b"\n", b"\n\n", b"\r", b" ", b"1", b"2", b"-", b".", b"_", b"#", b"\xff",
     b"\0", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"NOUN", b"neutral", b"label", b"NS",
     b"1\ta\t_\tNOUN\t_\t_\t0\t_\t_\t_\n", b"1-2\ta\t_\t_\t_\t_\t_\t_\t_\t_\n",
     b"premise\thypo\tlabel\n", b"language\tgold_label\tsentence1\tsentence2\n",
     b"a\tb\tneutral\n", b"a b\tc\t0-0 1p0\n", b" ||| ", b"9" * 5000]
)  # fmt: skip
contents = st.binary(max_size=200) | st.lists(pieces, max_size=12).map(b"".join)
NAMES = ["a.conllu", "a.tsv", "tatoeba.fra-eng.fra", "fr-en.en", "a.conllu.xz", "a.gz"]


@given(contents, st.sampled_from(NAMES))
@example(b"", "a.tsv")
@settings(max_examples=50)
def test_any_bytes_give_examples_or_an_error_that_names_the_file(
    tmp_path_factory, content, name
):
    path = tmp_path_factory.mktemp("hostile") / name
    path.write_bytes(content)
    for other in ("tatoeba.fra-eng.eng", "fr-en.fr"):
        (path.parent / other).write_bytes(content)
    for read in hostile(path):
        try:
            read()
        except UserError as error:
            assert str(path.parent) in str(error)
            whole_file = ("cannot be read", "no examples", "every label", "has no")
            text = str(error)
            assert "line" in text or any(words in text for words in whole_file), text


@given(st.text(max_size=12), st.text(max_size=4))
@settings(max_examples=50)
def test_any_source_gives_an_error_of_one_kind(source, language):
    with pytest.raises(UserError):
        tagged(f"absent/{source}", language=language)
    with pytest.raises(UserError):
        pairs(f"absent/{source}", language=language)


def test_ten_thousand_pairs_are_read(tmp_path):
    labels = ("neutral", "entailment", "contradiction")
    path = tmp_path / "train-en.tsv.xz"
    row = "You know during the season and at your level\tYou lose the things\t"
    rows = [f"{row}{labels[i % 3]}\n" for i in range(10_000)]
    path.write_bytes(lzma.compress("".join(rows).encode()))
    assert len(pairs(path).examples) == 10_000
