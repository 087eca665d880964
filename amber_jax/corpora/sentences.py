"""Running text cut into sentences, by a rule.

A sentence ends at its mark and the quotes that close behind it, if a space follows and
then no small letter. A full stop behind an abbreviation, an initial or, where ordinals
are written so, a number ends none. Marks of East Asian text need no space.
"""

import re

_WIDE = "。！？｡"  # the next sentence follows at once
_NARROW = ".!?…।॥؟۔։።။៖។"
_QUOTES = "\"'“‘„«‹([「『【（《¿¡-–— "  # and what else a sentence may begin with
_WIDE_CLOSING = re.escape("’”」』】）》)")
_CLOSING = re.escape("\"'”’»›)]“‘」』】）》")
_OPENING = re.escape(_QUOTES)
_EAST_ASIAN = "\u3040-\u30ff\u3400-\u9fff\uff01-\uff60「『"
_END = re.compile(
    rf"[{_WIDE}]+[{_WIDE}{_NARROW}]*[{_WIDE_CLOSING}]*"
    rf"|[!?]+[{_WIDE_CLOSING}]*(?=[{_EAST_ASIAN}])"
    rf"|[{_NARROW}]+[{_CLOSING}]*(?=\s)"
)
_NEXT = re.compile(rf"[{_OPENING}]*(.?)")
_AFTER_QUOTATION = frozenset("とってのだがを")  # in Japanese, whose sentence goes on
_GOES_ON = frozenset("、，,;；:：")

_DOTTED = re.compile(r"[^\s.]{1,3}(\.[^\s.]{1,3})+")  # U.S, a.m

_UNMARKED = frozenset({"th", "lo"})  # nothing ends a sentence
# Languages that write ordinals with a full stop: am 3. Mai.
_ORDINALS = "bs cs da de et eu fi fo hr hu is lt lv nb nn no pl se sh sk sl sr tr"
_ABBREVIATIONS = {
    "en": (
        "mr mrs ms dr prof st jr sr gen sen rep gov col lt capt sgt rev hon pres vs "
        "etc inc ltd co corp dept no fig vol pp ed al jan feb mar apr jun jul aug sep "
        "sept oct nov dec cf approx est mt ft v det"
    ),
    "de": (
        "dr prof hr fr st nr bzw ca usw vgl ggf evtl inkl exkl max min abs "
        "art bd hrsg jh jhd mio mrd tel str geb gest jan feb mär apr aug sept okt nov "
        "dez sog z u d i o s"
    ),
    "fr": "m mm mme mlle dr pr st ste av apr env etc cf n° art chap éd vol",
    "es": "sr sra srta dr dra d dña ud uds av etc art cap núm pág ee uu ej",
    "pt": "sr sra dr dra prof av etc art cap núm pág ex",
    "it": "sig sigg dott prof ing avv ecc art cap pag sen on",
    "nl": "dhr mevr dr prof bijv enz nl resp ca art blz nr",
    "ru": (
        "г гг в вв т ул д пр им акад проф руб коп тыс млн "
        "млрд см рис стр ст напр др св о р а ок долл чел"
    ),
    "uk": "м р рр ст вул д ім акад проф грн тис млн млрд див рис напр та ін",
    "pl": "dr prof mgr inż ul np tzn tj itp itd ok r w św tys mln mld godz zł",
    "tr": "dr prof doç av sn vb vs bkz cad sok no yy",
    "hi": "डॉ श्री प्रो पं सं मि मिस सुश्री सेन ए बी सी डी पी",
    "ar": "د أ م ص ج",
}
_OF_ALL = "dr prof st mr mrs ms no vs etc"
_KNOWN = {
    language: frozenset(f"{words} {_OF_ALL}".split())
    for language, words in {**_ABBREVIATIONS, "": ""}.items()
}


def split_sentences(text: str, language: str) -> list[str]:
    """Returns the sentences of a text, spaces at their ends taken off.

        "Dr. No left. He ran!", "en"     ["Dr. No left.", "He ran!"]

    Args:
        text: clean text, of one paragraph.
        language: the code that its source gives. Thai and Lao do not mark the ends of
            sentences: their text comes back whole.
    """
    base = re.split("[-_]", language)[0]
    if base in _UNMARKED:
        return [text]
    sentences, start = [], 0
    for match in _END.finditer(text):
        mark, end = match.span()
        if text[mark] in _WIDE and text[end : end + 1] == '"':
            end += text.count('"', start, end) % 2  # it closes what was opened
        if end > start and _ends(text, mark, end, base):
            sentences.append(text[start:end].strip())
            start = end
    rest = text[start:].strip()
    return [*sentences, rest] if rest else sentences


def _ends(text: str, mark: int, after: int, language: str) -> bool:
    """Returns whether the mark at a place, closed before another, ends a sentence."""
    follows = text[after : after + 1]
    if follows and not follows.isspace():
        is_quotation = text[after - 1] in "」』”"
        goes_on = is_quotation and follows in _AFTER_QUOTATION
        return not goes_on and follows not in _GOES_ON
    if _NEXT.match(text, after)[1].islower():
        return False
    if text[mark] != "." or text[mark : mark + 2] == "..":
        return True
    word = text[text.rfind(" ", 0, mark) + 1 : mark].lstrip(_QUOTES)
    return not _is_abbreviation(word, language)


def _is_abbreviation(word: str, language: str) -> bool:
    if word.isdecimal():
        return language in _ORDINALS.split() and len(word) <= 2
    if (len(word) == 1 and word.isupper()) or _DOTTED.fullmatch(word):
        return True
    return word.casefold() in _KNOWN.get(language, _KNOWN[""])
