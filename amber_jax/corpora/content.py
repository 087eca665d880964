"""What bytes look like that are not lines of UTF-8 text, whatever their name says."""

import re

HEAD_BYTES = 1 << 12  # of a file are looked at

_TAR_MAGIC = slice(257, 262)
_MAGICS = (
    (b"PAR1", "Parquet"),
    (b"ARROW1\0\0", "Arrow"),
    (b"\x1f\x8b", "gzip data (name it .gz)"),
    *((b"BZh%d1AY&SY" % level, "bzip2 data (name it .bz2)") for level in range(1, 10)),
    (b"\xfd7zXZ\0", "xz data (name it .xz)"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data (name it .zst)"),
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF-", "PDF"),
    (b"\xff\xfe\0\0", "UTF-32 text"),
    (b"\0\0\xfe\xff", "UTF-32 text"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)
_MARKUP = (  # after white space
    (re.compile(rb"(<\?xml[^>]*>\s*)?<mediawiki\b", re.I), "a Wikipedia dump (XML)"),
    (re.compile(rb"(<\?xml[^>]*>\s*)?(<!doctype\s+|<)tmx\b", re.I), "TMX"),
    (re.compile(rb"(<\?xml[^>]*>\s*)?(<!doctype\s+|<)html\b", re.I), "HTML"),
    (re.compile(rb"<\?xml\s"), "XML"),
    (re.compile(rb'(\[\s*)?\{\s*"[^"\n]*"\s*:'), "JSON"),
)
_WIDE = (0.25, 0.75)  # shares of NUL in UTF-16 and UTF-32, where letters are Latin


def other_content(head: bytes) -> str | None:
    """Returns what a file that begins with `head` holds if it is no plain text.

        b"PAR1..."              "Parquet"
        b'{"text": "One."}'     "JSON"
        b"One.\\n"               None

    Source: the formats' magic numbers, as in file(1).
    """
    head = head[:HEAD_BYTES]
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    if head[_TAR_MAGIC] == b"ustar":
        return "a tar archive"
    if _WIDE[0] * len(head) < head.count(b"\0") <= _WIDE[1] * len(head):
        return "UTF-16 text or binary data"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((kind for pattern, kind in _MARKUP if pattern.match(text)), None)
