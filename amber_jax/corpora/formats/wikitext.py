"""The paragraphs of a wiki page, out of its wikitext.

Kept is running text: no headings, lists, tables, images, references and formulas.
Every step looks at a character a bounded number of times, whatever is left unclosed:
pages of an open encyclopedia hold whatever people typed.

Source: what MediaWiki's parser shows; Devlin et al. 2019, 3.1: "we extract only the
text passages and ignore lists, tables, and headers".
"""

import html
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from amber_jax.corpora.formats.templates import DEEPEST, without_templates
from amber_jax.corpora.text import clean_text

# Names of the namespaces whose links show nothing, lower-cased; a dump names its own.
HIDDEN = frozenset({"file", "image", "media", "category"})

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_ELEMENT = re.compile(  # whose content is no running text; of nowiki, no markup
    "<(/?)(nowiki|ref|references|math|chem|ce|gallery|timeline|syntaxhighlight|source|"
    "score|imagemap|hiero|graph|mapframe|maplink|templatestyles|templatedata|"
    r"inputbox|categorytree|includeonly|pre|table)\b([^<>]*)>",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[\[\]{}|'<>=*#:;_~-]")
_VARIANTS = re.compile(r"-\{([^{}]*)\}-")
_FLAGS = re.compile("[A-Z-](?:;[A-Z-])*+|[a-z-]++(?:;[a-z-]++)*+")
_VARIANT = re.compile(r"(?:[^;:]*=>\s*+)?[a-z]{2,3}(?:-[a-z]++)*+\s*+:")
_HIDDEN_FLAGS = frozenset("HTDN-")
_TABLE = re.compile(r"^[ \t:*#;]*\{\||^[ \t]*\|\}", re.MULTILINE)
_PLAIN_LINK = re.compile(r"\[\[(?:[^\[\]|:\n]+\|([^\[\]|\n]+)|([^\[\]|:\n]+))\]\]")
_BRACKETS = re.compile(r"\[\[|\]\]")
_OUTWARD = re.compile(
    r"\[(?:(?:(?:https?|ftps?|ircs?|news|gopher):)?//|mailto:)[^\s\[\]]*+"
    r"(?:[ \t]++([^\[\]\n]*+))?\]",
    re.IGNORECASE,
)
_MEDIA = re.compile(
    r"\.(?:jpe?g|png|svg|gif|tiff?|webp|xcf|djvu|pdf|og[gvax]|opus|oga|wav|flac|mp[34]|"
    r"mid|webm|stl)\s*$",
    re.IGNORECASE,
)
_LANGUAGE = re.compile("[a-z]{2,3}(?:-[a-z]+)*|simple")
_BLOCK = re.compile(
    r"</?(?:p|div|center|blockquote|poem|ul|ol|li|dl|dt|dd|hr|h[1-6]|t[rdh]|caption)"
    r"\b[^<>]*>",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<br\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_SWITCH = re.compile(r"__([^\W_]+(?:_[^\W_]+)*)__")
_QUOTES = re.compile("'{2,}")
_LISTED = frozenset("*#:;|")  # a line that begins so is an item or a cell
_HOLLOW = re.compile(r"(?: |^)\([\s,;:،؛·]*\)|（[\s,;:、，；·]*）")
_FIRST_OF_NONE = re.compile(r"(?<=[(（]) ?[,;،؛、，；][\s,;،؛、，；]*+")
_LAST_OF_NONE = re.compile(
    r"(?<![\s,;،؛、，；]) ?[,;،؛、，；][\s,;،؛、，；]*+(?=[)）])"
)
_WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"  # Chinese and Japanese
_UNSPACED = re.compile(f"(?<=[{_WIDE}])\n(?=[{_WIDE}])")
_LETTER = re.compile(r"[^\W\d_]")


def paragraphs(wikitext: str, hidden: Collection[str] = HIDDEN) -> list[str]:
    """Returns the paragraphs of a page as its reader sees them, one line each.

        "'''Lomé''' is the [[capital city|capital]].<ref>x</ref>\\n== See ==\\n* [[a]]"
        ["Lomé is the capital."]

    Of `-{zh-hans:网络; zh-hant:網路}-` the first is taken; of templates only what
    `templates.py` names is kept.

    Args:
        wikitext: the source of a page.
        hidden: namespaces whose links show nothing, lower-cased: those of files and
            categories in the language of the wiki.
    """
    text = _COMMENT.sub("", wikitext) if "<!--" in wikitext else wikitext
    text = _without_elements(text)
    text = without_templates(text)
    if "-{" in text:
        text = _VARIANTS.sub(_chosen_variant, text)
    text = _without_tables(text)
    text = _without_links(text, hidden)
    if "<" in text:
        text = _BREAK.sub(" ", _BLOCK.sub("\n\n", text))
        text = _TAG.sub("", text)
    if "__" in text:
        text = _SWITCH.sub(_without_switch, text)
    tidied = (_tidied(paragraph) for paragraph in _joined_lines(text))
    return [paragraph for paragraph in tidied if _LETTER.search(paragraph)]


def _without_elements(text: str) -> str:
    """Takes out elements; what is between `<nowiki>` becomes references to characters.

    An element without end is a stray tag.
    """
    tags = list(_ELEMENT.finditer(text)) if "<" in text else []
    ends: dict[int, re.Match[str]] = {}
    closing: dict[str, re.Match[str]] = {}
    for tag in reversed(tags):
        name = tag[2].lower()
        if tag[1]:
            closing[name] = tag
        elif name in closing and not tag[3].endswith("/"):
            ends[tag.start()] = closing[name]
    kept, position = [], 0
    for tag in tags:
        if tag.start() < position:
            continue
        kept.append(text[position : tag.start()])
        position = tag.end()
        if end := ends.get(tag.start()):
            if tag[2].lower() == "nowiki":
                kept.append(_MARKUP.sub(_reference, text[position : end.start()]))
            position = end.end()
    return "".join((*kept, text[position:]))


def _reference(character: re.Match[str]) -> str:
    return f"&#{ord(character[0])};"


def _chosen_variant(match: re.Match[str]) -> str:
    """Returns what `-{...}-` shows.

    Source: MediaWiki, Writing systems/Syntax.
    """
    flags, bar, rest = match[1].partition("|")
    flags = "".join(flags.split())
    if bar and _FLAGS.fullmatch(flags):
        if _HIDDEN_FLAGS & {*flags}:
            return ""
    else:
        rest = match[1]
    rest = rest.strip()
    return rest.split(";")[0].partition(":")[2] if _VARIANT.match(rest) else rest


def _without_tables(text: str) -> str:
    """Takes out tables; one without end loses the lines of cells, see `_LISTED`."""
    if "{|" not in text:
        return text
    opened: list[int] = []
    closed: list[tuple[int, int]] = []  # apart from each other, in order
    for token in _TABLE.finditer(text):
        if token[0].endswith("{|"):
            opened.append(token.start())
        elif opened:
            begin = opened.pop()
            while closed and closed[-1][0] > begin:
                closed.pop()
            closed.append((begin, token.end()))
    return "\n".join(_between(text, closed))


def _between(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[str]:
    position = 0
    for begin, end in spans:
        yield text[position:begin]
        position = end
    yield text[position:]


def _without_links(text: str, hidden: Collection[str]) -> str:
    """Leaves of links what they show; those to files and categories show nothing."""
    if "[" not in text:
        return text
    text = _OUTWARD.sub(_label, _PLAIN_LINK.sub(_label, text))
    levels: list[list[str]] = [[]]
    position = 0
    for token in _BRACKETS.finditer(text):
        levels[-1].append(text[position : token.start()])
        position = token.end()
        if token[0] == "[[":
            levels.append([])
        elif len(levels) > 1:
            content = levels.pop()
            if len(levels) <= DEEPEST:
                levels[-1].append(_link("".join(content), hidden))
    levels[-1].append(text[position:])
    return "".join(piece for level in levels for piece in level)


def _label(link: re.Match[str]) -> str:
    return link[link.lastindex] if link.lastindex else ""


def _link(content: str, hidden: Collection[str]) -> str:
    target, bar, label = content.partition("|")
    prefix, colon, _ = target.partition(":")
    if colon and prefix.strip():
        prefix = prefix.strip().replace("_", " ")
        if prefix.lower() in hidden or _MEDIA.search(target):
            return ""
        if not bar and _LANGUAGE.fullmatch(prefix):
            return ""  # the same page in another language
    return label if bar else target.removeprefix(":")


def _without_switch(match: re.Match[str]) -> str:
    name = match[1]
    return match[0] if name != name.upper() else ""


def _joined_lines(text: str) -> Iterator[str]:
    """Yields paragraphs: lines that follow each other and are running text."""
    lines: list[str] = []
    passed_over = _LISTED | {*"{!"} if "{|" in text else _LISTED
    for line in map(str.strip, text.split("\n")):
        first = line[:1]
        is_heading = first == "=" and line[-1] == "="
        if first in passed_over or is_heading or not line or line[:4] == "----":
            if lines:
                yield _joined(lines)
            lines = []
        else:
            lines.append(_without_quotes(line) if "''" in line else line)
    if lines:
        yield _joined(lines)


def _joined(lines: Sequence[str]) -> str:
    """Returns lines side by side: with a space, but not between Chinese characters."""
    if len(lines) == 1:
        return lines[0]
    return _UNSPACED.sub("", "\n".join(lines)).replace("\n", " ")


def _without_quotes(line: str) -> str:
    """Takes out the marks of bold and italic type, and leaves apostrophes.

        '''bold''' ''italic''          bold italic
        l'''Odyssée'' d'Homère        l'Odyssée d'Homère

    Source: MediaWiki's Parser::doQuotes: of an odd number of both, one bold mark is an
    apostrophe before italic, first one after a word of one letter, else after a word,
    else after a space.
    """
    sizes = [min(len(mark), 5) for mark in _QUOTES.findall(line)]
    is_odd = (
        sum(size > 2 for size in sizes) % 2
        and sum(size in (2, 5) for size in sizes) % 2
    )
    if not is_odd and "''''" not in line:
        return _QUOTES.sub("", line)
    triples = [
        mark.start() for mark in _QUOTES.finditer(line) if len(mark[0]) in (3, 4)
    ]
    apostrophe = -1
    if is_odd:
        apostrophe = min(triples, key=lambda start: _order(line, start), default=-1)

    def apostrophes(mark: re.Match[str]) -> str:
        size = mark.end() - mark.start()
        return "'" * (max(0, size - 5) + (size == 4) + (mark.start() == apostrophe))

    return _QUOTES.sub(apostrophes, line)


def _order(line: str, mark: int) -> int:
    before = line[max(0, mark - 2) : mark]
    if before[-1:] in ("", " "):
        return 2
    return 0 if before[:-1] in ("", " ") else 1


def _tidied(paragraph: str) -> str:
    """Returns a paragraph with its characters, without what removals left behind."""
    text = html.unescape(paragraph) if "&" in paragraph else paragraph
    text = clean_text(text)
    if "(" in text or "（" in text:
        text = _LAST_OF_NONE.sub("", _FIRST_OF_NONE.sub("", text))
        text = _HOLLOW.sub("", text)
    return text
