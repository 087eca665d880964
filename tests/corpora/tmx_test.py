"""Translation memories: what is text, what is refused."""

import gzip

import pytest

from amber_jax.corpora.tmx import read_tmx
from amber_jax.errors import UserError

UNITS = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en"/><body>
  <tu><tuv xml:lang="en-US"><seg>Hello
      world</seg></tuv><tuv xml:lang="FR"><seg>Bonjour &amp; salut</seg></tuv></tu>
  <tu><tuv lang="fr_CA"><seg>Oui</seg></tuv><tuv lang="en"><seg>Yes</seg></tuv></tu>
  <tu><tuv xml:lang="en"><seg>No</seg></tuv>
      <tuv xml:lang="de"><seg>Nein</seg></tuv></tu>
  <tu><tuv xml:lang="en"><seg>A <bpt i="1">&lt;b&gt;</bpt>bold<ept
      i="1">&lt;/b&gt;</ept>
      <hi>word</hi></seg></tuv><tuv xml:lang="fr"><seg>Un mot gras</seg></tuv></tu>
  <tu><tuv xml:lang="en"><seg>first</seg></tuv>
      <tuv xml:lang="en"><seg>second</seg></tuv></tu>
</body></tmx>
"""

PAIRS = [
    ("Hello world", "Bonjour & salut"),
    ("Yes", "Oui"),
    ("No", ""),
    ("A bold word", "Un mot gras"),
    ("first", ""),
]


@pytest.fixture
def write(tmp_path):
    def write(content, name="memory.tmx"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def test_units_become_pairs_in_the_order_asked_for(write):
    path = write(UNITS.encode())
    assert list(read_tmx(path, "en", "fr")) == PAIRS
    assert list(read_tmx(path, "fr", "en")) == [(y, x) for x, y in PAIRS]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_the_declared_encoding_counts(write, encoding):
    text = UNITS.replace("UTF-8", encoding)
    assert list(read_tmx(write(text.encode(encoding)), "en", "fr")) == PAIRS


def test_a_compressed_memory_is_read_as_it_is(write):
    path = write(gzip.compress(UNITS.encode()), "memory.tmx.gz")
    assert list(read_tmx(path, "en", "fr")) == PAIRS


LAUGHS = """<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<tmx><body><tu><tuv xml:lang="en"><seg>&b;</seg></tuv></tu></body></tmx>"""
OUTSIDE = """<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<tmx><body><tu><tuv xml:lang="en"><seg>&a;</seg></tuv></tu></body></tmx>"""


@pytest.mark.parametrize("text", [LAUGHS, OUTSIDE])
def test_a_file_that_declares_entities_is_refused(write, text):
    with pytest.raises(UserError, match=r"memory\.tmx: .*declares the entity 'a'"):
        list(read_tmx(write(text.encode()), "en", "fr"))


@pytest.mark.parametrize(
    "content",
    [b"", b"plain", UNITS.encode()[:-30], UNITS.encode().replace(b"Oui", b"\xff")],
)
def test_malformed_xml_is_an_error_that_names_the_file(write, content):
    with pytest.raises(UserError, match=r"memory\.tmx: no usable TMX"):
        list(read_tmx(write(content), "en", "fr"))


def test_a_segment_of_many_megabytes_is_cut(write):
    text = UNITS.replace("Oui", "x" * (5 << 20))
    sides = list(read_tmx(write(text.encode()), "en", "fr"))
    assert len(sides) == len(PAIRS)
    assert (1 << 20) < len(sides[1][1]) < (3 << 20)
