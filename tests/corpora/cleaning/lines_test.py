"""Which lines are left out, reason by reason."""

import pytest

from amber_jax.corpora.cleaning.lines import FILTERS, LineFilters
from amber_jax.corpora.cleaning.options import CLEANING_RANGES, Cleaning

LINES = [
    # option            value  language   line                        reason
    ("min_characters",  5,     "en",      "Yes.",                     "too_short"),
    ("min_characters",  5,     "zh",      "是的，好。",               None),
    ("max_characters",  4,     "en",      "Yes!!",                    "too_long"),
    ("max_characters",  5,     "en",      "Yes!!",                    None),
    ("min_letters",     0.5,   "en",      "1,024 = 2^10 bytes",       "few_letters"),
    ("min_letters",     0.5,   "en",      "A kilobyte: 1,024",        None),
    # Vowel signs and viramas are no letters to Unicode, but they are to readers.
    ("min_letters",     0.95,  "hi",      "हिन्दी में",                   None),
    ("max_digits",      0.3,   "en",      "10 20 ab cd",              "many_digits"),
    ("max_digits",      0.3,   "ar",      "١٠ ٢٠ اب تث",              "many_digits"),
    ("max_digits",      0.3,   "en",      "10 abc de",                None),
    ("max_repeated",    0.5,   "en",      "- - - - - x",          "repeated_character"),
    ("max_repeated",    0.5,   "en",      "Noooooo!",             "repeated_character"),
    ("max_repeated",    0.1,   "en",      "I",                        None),
    ("max_repeated",    0.5,   "en",      "banana",                   None),
    ("min_script",      0.5,   "ru",      "Hello мир",                "other_script"),
    ("min_script",      0.5,   "ru",      "Привет, world",            None),
    ("min_script",      0.9,   "ja",      "ｱﾊﾟｰﾄの人々は、",           None),
    ("min_script",      0.9,   "zh",      "これはほんとうです",         "other_script"),
    ("min_script",      0.9,   "sr",      "Dobar dan",                None),
    ("min_script",      0.9,   "sr_Cyrl", "Dobar dan",                "other_script"),
    ("min_script",      0.9,   "zh-Hant", "臺灣",                     None),
    ("min_script",      0.9,   "en",      "ｗｉｄｅ",                  None),
    ("min_script",      1.0,   "en",      "2 + 2 = 4",                None),
    ("min_script",      1.0,   "tlh",     "нет такого",               None),
]  # fmt: skip


@pytest.mark.parametrize(("option", "value", "language", "line", "reason"), LINES)
def test_a_line_is_left_out_for(option, value, language, line, reason):
    filters = LineFilters(Cleaning(**{option: value}))
    assert filters.reason(line, language) == reason
    assert LineFilters(Cleaning()).reason(line, language) is None


def test_the_first_reason_counts():
    filters = LineFilters(Cleaning(max_repeated=0.5, min_letters=0.9))
    assert filters.reason("-----", "en") == "few_letters"


def test_every_filter_has_an_option_and_every_option_a_range():
    options = {option for option, _ in FILTERS.values()}
    assert options <= vars(Cleaning()).keys() == CLEANING_RANGES.keys()
    for name, value in vars(Cleaning()).items():
        allowed = CLEANING_RANGES[name]
        fits = isinstance(value, bool) if allowed is bool else allowed.holds(value)
        assert fits, name
