"""Translation memories: what is text, what is refused."""

import gzip

import pytest

from amber_jax.corpora import tmx
from amber_jax.corpora.conversion import Conversion
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
    [
        b"",
        b"plain",
        UNITS.encode()[:-30],
        UNITS.encode().replace(b"srclang", b"\xff"),
        UNITS.encode().replace(b"</body>", b""),
        b"<html><body/></html>",
        b"<document><tu-like/></document>",
        gzip.compress(UNITS.encode()),
    ],
)
def test_malformed_xml_is_an_error_that_names_the_file(write, content):
    with pytest.raises(UserError, match=r"memory\.tmx: no usable TMX"):
        list(read_tmx(write(content), "en", "fr"))


def test_a_segment_of_many_megabytes_is_cut(write):
    text = UNITS.replace("Oui", "x" * (5 << 20))
    sides = list(read_tmx(write(text.encode()), "en", "fr"))
    assert len(sides) == len(PAIRS)
    assert (1 << 20) < len(sides[1][1]) < (3 << 20)


def units(*contents):
    """A memory whose units have this English beside French "Oui."."""
    return "<tmx><body>" + "".join(map(unit, contents)) + "</body></tmx>"


def unit(english):
    return (
        f'<tu><tuv xml:lang="en"><seg>{english}</seg></tuv>'
        '<tuv xml:lang="fr"><seg>Oui.</seg></tuv></tu>'
    )


def english_of(path):
    return [src for src, _ in read_tmx(path, "en", "fr")]


@pytest.mark.parametrize(
    "encoding",
    ["utf8", "UTF-8", "utf-16", "utf-32", "windows-1251", "GB18030", "Shift_JIS"],
)
def test_any_encoding_that_python_knows_is_read(write, encoding):
    text = "\u0414\u0430." if encoding == "windows-1251" else "\u9580\u3002"
    content = f'<?xml version="1.0" encoding="{encoding}"?>\n{units(text)}'
    assert english_of(write(content.encode(encoding))) == [text]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32-be"])
def test_wide_text_is_known_without_a_byte_order_mark(write, encoding):
    assert english_of(write(units("Yes.").encode(encoding))) == ["Yes."]


@pytest.mark.parametrize("encoding", ["klingon-8", "hex"])
def test_an_encoding_that_nobody_knows_is_refused_by_name(write, encoding):
    content = f'<?xml version="1.0" encoding="{encoding}"?>{units("Yes.")}'
    with pytest.raises(UserError, match=f"no usable TMX .*{encoding}"):
        english_of(write(content.encode()))


def test_an_xml_declaration_may_come_late_and_claim_to_stand_alone(write):
    declared = '\n <?xml version="1.0" standalone="yes"?>' + units("Ten&nbsp;men")
    assert english_of(write(declared.encode())) == ["Ten men"]


BAD = {
    "a character": "The gate\x02 is open.",
    "a reference to a character": "The gate&#x1F; is open.",
    "an ampersand": "Salt & pepper.",
    "an element": "The <hi>gate is open.",
    "an attribute": 'The <ph x=1/>gate is <ph x="1" x="2"/>open.',
    "a byte": "The gate\udcff is open.",
}


@pytest.mark.parametrize("size", [7, 1 << 16])
@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_xml_costs_its_unit_and_is_counted(write, monkeypatch, kind, size):
    monkeypatch.setattr(tmx, "_PIECE_BYTES", size)
    content = units("One.", BAD[kind], "Two.", "Three.", BAD[kind], BAD[kind], "Four.")
    facts = Conversion()
    path = write(content.encode("utf-8", "surrogateescape"))
    pairs = list(read_tmx(path, "en", "fr", facts))
    assert pairs == [(text, "Oui.") for text in ("One.", "Two.", "Three.", "Four.")]
    assert facts.left_out == {"not_xml": 3}


@pytest.mark.parametrize("doctype", ["", '<!DOCTYPE tmx SYSTEM "tmx14.dtd">'])
def test_an_entity_that_xml_does_not_know_becomes_a_space_and_is_counted(
    write, doctype
):
    facts = Conversion()
    path = write((doctype + units("Ten&nbsp;men &amp; a&eacute;b")).encode())
    assert list(read_tmx(path, "en", "fr", facts)) == [("Ten men & a b", "Oui.")]
    assert (facts.unknown_entities, facts.left_out) == (2, {})


INLINE = [
    ("one<ph>&lt;br/&gt;</ph>two", "one two"),
    ("one<ph type='lb'/>two", "one two"),
    ("one<ept i='1'>&lt;/p&gt;</ept><bpt i='2'>&lt;p&gt;</bpt>two", "one two"),
    ("one<it pos='end'>\\par </it>two", "one two"),
    ("one<ph>\\n</ph>two", "one two"),
    ("on<bpt i='1'>&lt;b&gt;</bpt>e<ept i='1'>&lt;/b&gt;</ept>.", "one."),
    ("on<ph>{1}</ph>e<ph x='1'/>.", "one."),
    ("See the <hi>red</hi>dish house", "See the reddish house"),
    ("a<bpt i='1'>title='<sub>big <hi>page</hi></sub>'</bpt>here", "a big page here"),
    ("a<ph><sub>b<ph>&lt;i&gt;</ph>c</sub></ph>d", "a bc d"),
]


@pytest.mark.parametrize(("inline", "text"), INLINE)
def test_inline_codes_leave_text_whole_and_words_apart(write, inline, text):
    assert english_of(write(units(inline).encode())) == [text]


def variants(*codes):
    texts = "".join(f'<tuv xml:lang="{x}"><seg>{x} text</seg></tuv>' for x in codes)
    return f"<tmx><body><tu>{texts}</tu></body></tmx>".encode()


@pytest.mark.parametrize(
    ("src", "tgt", "codes", "wanted"),
    [
        ("en", "zh_cn", ("en", "zh_cn"), ("en", "zh_cn")),
        ("en", "zh_CN", ("en", "zh-TW", "zh-cn"), ("en", "zh-cn")),
        ("en", "sr_Latn", ("en", "sr-latn-RS"), ("en", "sr-latn-RS")),
        ("pt", "pt-BR", ("pt", "pt-BR"), ("pt", "pt-BR")),
        ("pt-BR", "pt", ("pt", "pt_br"), ("pt_br", "pt")),
        ("pt", "pt-BR", ("pt-BR", "pt-PT"), ("pt-PT", "pt-BR")),
        ("en", "pt", ("en", "pt-BR", "pt"), ("en", "pt")),
        ("en", "zh", ("en-GB", "zh-TW", "zh-CN"), ("en-GB", "zh-TW")),
        ("en", "zh-Hant", ("en", "zh"), ("en", None)),
    ],
)
def test_an_exact_code_goes_before_a_prefix(write, src, tgt, codes, wanted):
    ((x, y),) = read_tmx(write(variants(*codes)), src, tgt)
    assert (x, y) == tuple(code and f"{code} text" or "" for code in wanted)


def test_the_first_segment_of_each_language_counts(write):
    double = "<seg>Yes.</seg></tuv><tuv xml:lang='en'><seg>Yeah.</seg>"
    content = units("x").replace("<seg>x</seg>", double)
    assert list(read_tmx(write(content.encode()), "en", "fr")) == [("Yes.", "Oui.")]


def test_a_variant_without_a_segment_is_an_empty_side(write):
    content = units("x").replace("<seg>x</seg>", "x")
    facts = Conversion()
    assert list(read_tmx(write(content.encode()), "en", "fr", facts)) == [("", "Oui.")]
    assert facts.languages == {"en", "fr"}
