"""report.md and report.html, and what they do with text from files."""

import base64
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_files import (
    fine_tuned,
    layers,
    report,
    retrieval,
    word_alignment,
    write_fine_tuning,
    write_results,
)

from amber_jax.report.pages import escape, to_html, to_markdown
from amber_jax.report.sections import Facts, Section
from amber_jax.report.tables import Table

VOID = {"meta", "img"}
NASTY = "<img src=x onerror='1'> & \"q\" | *b* [l](http://evil) `c` _e_ $\\frac{"


class Page(HTMLParser):
    """Checks that every tag is closed in its order, and collects what there is."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def values(self, attribute):
        return [
            attributes[attribute]
            for _, attributes in self.tags
            if attribute in attributes
        ]


@pytest.fixture(name="folder", scope="module")
def folder_fixture(tmp_path_factory):
    """A report of every task, its words as nasty as files can make them."""
    folder = tmp_path_factory.mktemp("pages")
    train = {"files": [NASTY], "examples": 1, "stand_in": NASTY}
    results = write_results(
        folder / "results.json",
        retrieval(NASTY, name=NASTY, layers=layers(0.1, 0.2)),
        retrieval(NASTY, scores={"<b>|": (0.1, 0.2)}, checkpoint=NASTY),
        fine_tuned("xnli", NASTY, seed=1, train=train, collapsed=["de"]),
        fine_tuned("xnli", NASTY, seed=2, train=train, scores={"en": 0.8, "de": 0.55}),
        fine_tuned("udpos", "__init__"),
        word_alignment("_x"),
    )
    run = write_fine_tuning(folder / "run")
    report(folder / "out", results=[results], workdirs=[run], labels=[NASTY])
    return folder / "out"


@pytest.fixture(name="text", scope="module")
def text_fixture(folder):
    return (folder / "report.html").read_text("utf-8")


@pytest.fixture(name="page", scope="module")
def page_fixture(text):
    return Page(text)


def test_the_page_needs_nothing_else(page, text):
    sources = page.values("src")
    assert len(sources) >= 6
    for source in sources:
        head, content = source.split(",", 1)
        assert head == "data:image/png;base64"
        assert base64.b64decode(content, validate=True).startswith(b"\x89PNG\r\n")
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"@import|url\(", text)
    assert all(target.startswith("#") for target in page.values("href"))


def test_the_contents_lead_to_every_section(page):
    names = page.values("id")
    assert [target[1:] for target in page.values("href")] == names
    assert len(set(names)) == len(names)


def test_what_files_say_is_shown_and_never_obeyed(page, folder):
    assert any(NASTY in words for words in page.text)
    assert not page.values("onerror")
    markdown = (folder / "report.md").read_text("utf-8")
    assert "\\<img src=x" in markdown
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        sizes = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(sizes) == 1


def test_the_page_has_light_and_dark_and_a_phone(text):
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text
    assert "position: sticky" in text


def test_the_page_shows_best_spread_and_warnings(page, text):
    assert re.search(r"<b>75\.0</b><small>± 7\.1</small>", text)
    assert any("has collapsed" in words for words in page.text)
    assert any(words.startswith("‡") and "stand-in" in words for words in page.text)


def test_markdown_links_the_pictures_beside_it(folder):
    markdown = (folder / "report.md").read_text("utf-8")
    linked = set(re.findall(r"(?<!\\)\]\(([a-z0-9_-]+\.png)\)", markdown))
    assert linked == {path.name for path in folder.glob("*.png")}


def test_where_numbers_come_from_stands_in_both(page, folder):
    markdown = (folder / "report.md").read_text("utf-8")
    for words in ("xl-wa", "accuracy 71.0 at step 400", "intersection", "cosine"):
        assert any(words in text for text in page.text)
        assert words in markdown


@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_any_text_stays_inside_its_place(text):
    table = Table("", "in %", columns=[], rows=[], notes=[text])
    facts = [Facts(["a", text], [[text, "b"]])]
    section = Section(text, text=text, tables=[table], facts=facts)
    page = Page(to_html(text, [section]))
    assert page.text.count(text) >= 5 or not text.strip()
    tags = [tag for tag, _ in page.tags]
    assert tags.count("td") == 1 and "script" not in tags
    rows = [
        line
        for line in to_markdown("", [Section("", facts=facts)]).split("\n")
        if line.startswith("|")
    ]
    if len(text.splitlines()) == 1:
        assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows} == {3}


def test_underscores_inside_words_stay_readable():
    assert escape("tico_heldout *_x_*") == "tico_heldout \\*\\_x\\_\\*"
