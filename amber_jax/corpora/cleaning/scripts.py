"""Which letters a language is written with."""

import functools
import re
import unicodedata

# A script is the first word that Unicode's names of its letters begin with.
_LANGUAGES = {
    "LATIN": (
        "af an ast az ba bar br bs ca ceb cs cy da de en eo es et eu fi fo fr fy ga gl "
        "gn ha hr ht hu id ig ilo io is it jv ku la lb lmo lt lv mg min ms mt nb nds "
        "nl nn no oc pl pms pt qu rm ro rw scn sco sh sk sl so sq sr su sv sw tl tr tt "
        "uz vi vo wa war wo xh yo zu"
    ),
    "CYRILLIC": "ba be bg ce cv kk ky mk mn os ru sr tg tt uk uz sh bs az ku",
    "ARABIC": "ar arz azb az ckb fa kk ku lah pa pnb ps sd ug ur uz",
    "HEBREW": "he yi",
    "GREEK": "el",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
    "DEVANAGARI": "bho hi mr ne new sa sd",
    "BENGALI": "as bn bpy",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "LAO": "lo",
    "MYANMAR": "my",
    "KHMER": "km",
    "TIBETAN": "bo dz",
    "ETHIOPIC": "am ti",
    "MONGOLIAN": "mn",
    "CJK": "ja ko lzh wuu yue zh",
    "BOPOMOFO": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
}
# Source: ISO 15924, for the scripts that language codes name.
_SUBTAGS = {
    "Arab": {"ARABIC"},
    "Beng": {"BENGALI"},
    "Cyrl": {"CYRILLIC"},
    "Deva": {"DEVANAGARI"},
    "Grek": {"GREEK"},
    "Guru": {"GURMUKHI"},
    "Hans": {"CJK", "BOPOMOFO"},
    "Hant": {"CJK", "BOPOMOFO"},
    "Hebr": {"HEBREW"},
    "Latn": {"LATIN"},
    "Mong": {"MONGOLIAN"},
}
_WIDTH = ("FULLWIDTH ", "HALFWIDTH ")
_HAN = "IDEOGRAPHIC"  # marks of iteration and closing among the ideographs


@functools.cache
def scripts_of(language: str) -> frozenset[str]:
    """Returns the scripts of a language, none if they are not known.

        ja     HIRAGANA KATAKANA CJK        sr_Latn     LATIN

    Args:
        language: a code as sources have it; a script among its subtags decides.
    """
    base, *subtags = re.split("[-_]", language)
    for subtag in subtags:
        if scripts := _SUBTAGS.get(subtag.title()):
            return frozenset(scripts)
    return frozenset(
        script for script, codes in _LANGUAGES.items() if base in codes.split()
    )


@functools.cache
def script_of(letter: str) -> str:
    """Returns the script of a letter: "LATIN" of é and of ｅ, "CJK" of 語."""
    name = unicodedata.name(letter, "")
    for width in _WIDTH:
        name = name.removeprefix(width)
    script = re.split("[ -]", name)[0]
    return "CJK" if script == _HAN else script
