"""What cells and pairs have to pass, together."""

import pytest

from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.filters import sentence_hash
from amber_jax.corpora.screening import Screen


@pytest.mark.parametrize(
    "variant",
    ["The CAT sat.", " the  cat\u00a0sat. ", "Ｔｈｅ cat sat.", "THE CAT SAT."],
)
def test_sentences_are_held_out_whatever_their_case_width_and_spacing(variant):
    held_out = frozenset([sentence_hash("The cat sat.")])
    screen = Screen(max_bytes=99, cleaning=Cleaning(), held_out=held_out)
    assert screen.cell(variant.encode(), "en") == (None, "evaluation_sentence")
    assert screen.cell(b"The cat sits.", "en") == ("The cat sits.", None)


@pytest.mark.parametrize(
    ("cleaning", "held_out"),
    [
        (Cleaning(), []),
        (Cleaning(), ["The cat sat."]),
        (Cleaning(min_characters=5), []),
        (Cleaning(normalization="NFKC"), []),
    ],
)
def test_cells_of_a_text_are_screened_as_each_alone(cleaning, held_out):
    hashes = frozenset(map(sentence_hash, held_out))
    screen = Screen(max_bytes=99, cleaning=cleaning, held_out=hashes)
    raws = [b"The cat sat.", b"No.", "ﬁsh and chips".encode(), b" ", b"caf\xe9"]
    for lines in (raws, raws[:3]):
        assert screen.cells(lines, "en") == [screen.cell(raw, "en") for raw in lines]


SCRIPTS = [
    # en       ru          reason
    ("Hello",  "Привет",   None),
    ("Привет", "Hello",    "swapped_sides"),
    ("Привет", "Пока",     "other_script"),
    ("Hello",  "Goodbye",  "other_script"),
    ("Hello",  "",         "empty_side"),
    ("Привет", "",         "other_script"),
]  # fmt: skip


@pytest.mark.parametrize(("en", "ru", "reason"), SCRIPTS)
def test_sides_in_each_others_script_are_swapped(en, ru, reason):
    screen = Screen(max_bytes=99, cleaning=Cleaning(min_script=0.9))
    line = {code: screen.cell(x.encode(), code) for code, x in (("en", en), ("ru", ru))}
    assert screen.pair_reason(line, ("en", "ru")) == reason


def test_a_copy_is_no_translation():
    screen = Screen(max_bytes=99, cleaning=Cleaning(max_copied=0.8))
    line = {"en": ("See www.example.org", None), "de": ("Siehe www.example.org", None)}
    assert screen.pair_reason(line, ("en", "de")) == "copied_sides"
    line["de"] = ("Siehe bei uns im Internet", None)
    assert screen.pair_reason(line, ("en", "de")) is None


@pytest.mark.parametrize(
    ("form", "text"),
    [("", "ｅ\u0301\u3000ﬁ"), ("NFC", "ｅ\u0301\u3000ﬁ"), ("NFKC", "é fi")],
)
def test_text_is_normalized_and_its_spaces_after_that(form, text):
    screen = Screen(max_bytes=99, cleaning=Cleaning(normalization=form))
    raw = "ｅ\u0301\u3000ﬁ\u00a0".encode()
    expected = " ".join(text.split())
    assert screen.cell(raw, "fr") == (expected, None)
    decomposed = screen.cell("e\u0301".encode(), "fr")[0]
    assert decomposed == ("é" if form else "e\u0301")


SENTENCES = {
    "en": "The library opens at nine and closes at six.",
    "de": "Die Bibliothek öffnet um neun und schließt um sechs.",
    "fr": "La bibliothèque ouvre à neuf heures et ferme à six heures.",
}
IDENTIFIED = [
    # languages    source  target  reason
    (("en", "de"), "en",   "de",   None),
    (("en", "de"), "de",   "en",   "swapped_sides"),
    (("en", "de"), "en",   "en",   "other_language"),
    (("en", "de"), "fr",   "de",   "other_language"),
    (("en", "es"), "en",   "de",   "other_language"),
    # Croatian is not judged, and Klingon is not known: nothing speaks against it.
    (("en", "hr"), "en",   "de",   None),
    (("en", "tlh"), "en",  "fr",   None),
]  # fmt: skip


@pytest.fixture(scope="module")
def identifying():
    cleaning = Cleaning(language_threshold=0.8, language_min_characters=40)
    return Screen(max_bytes=99, cleaning=cleaning)


@pytest.mark.parametrize(("languages", "src", "tgt", "reason"), IDENTIFIED)
def test_sides_of_another_language(identifying, languages, src, tgt, reason):
    line = {
        language: identifying.cell(SENTENCES[of].encode(), language)
        for language, of in zip(languages, (src, tgt), strict=True)
    }
    assert identifying.pair_reason(line, languages) == reason


def test_short_lines_and_those_of_no_language_are_not_identified(identifying):
    assert identifying.cell(b"Guten Tag, wie geht es Ihnen?", "fr")[1] is None
    digits = b"100 200 300 400 500 600 700 800 900 1000 1100"
    assert identifying.cell(digits, "fr")[1] is None
