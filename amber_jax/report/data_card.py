"""The data card of a corpus: what it holds, where it comes from, what was left out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amber_jax.corpora.accounts import HELD_OUT, InputFacts, listed, read_inputs
from amber_jax.corpora.records import open_corpus, read_manifest
from amber_jax.corpora.stream_measures import StreamMeasures, stream_measures
from amber_jax.files import write_text
from amber_jax.report import pages
from amber_jax.report.figures import write_rate_figures
from amber_jax.report.sections import Facts, Picture, Section
from amber_jax.storage import location
from amber_jax.tokenization import load_tokenizer

CARD_FILE, CARD_PAGE = "card.md", "card.html"

_KINDS = {"mono": "Running text", "pair": "Translations"}
_STREAM_HEADER = (
    *("stream", "sources", "lines", "kept", "sentences", "tokens", "share", "rate"),
    *("unknown", "tokens a word", "tokens a sentence"),
)
_STREAM_TEXT = (
    "Lines are what the sources gave, kept those that were not rejected. Share is that "
    "of the tokens of all streams of the kind, rate how often training draws the "
    "stream. Unknown pieces, tokens a word and the 10th, 50th and 90th percentile of "
    "tokens a sentence are of at most 256 rows."
)


def write_data_card(directory: Path) -> list[Path]:
    """Writes `card.md` and `card.html` into a corpus folder; returns their paths.

    Pictures of the streams' rates lie beside them.

    Raises:
        UserError: the folder is no corpus, or cannot be written.
    """
    title = f"Corpus {location(directory).resolve().name}"
    sections = card_sections(directory)
    files = [location(directory) / name for name in (CARD_FILE, CARD_PAGE)]
    for file, page in zip(files, (pages.to_markdown, pages.to_html), strict=True):
        write_text(file, page(title, sections))
    return files


def card_sections(directory: Path) -> list[Section]:
    """Returns what the card says; writes its pictures."""
    corpus, manifest = open_corpus(directory, verify=False), read_manifest(directory)
    tokenizer = load_tokenizer(location(directory) / "tokenizer")
    inputs = read_inputs(directory)
    pictures = _pictures(directory, manifest["streams"])
    sections = [Section("Overview", facts=[_overview(manifest)])]
    for kind, title in _KINDS.items():
        if streams := manifest["streams"].get(kind):
            measures = {
                name: stream_measures(corpus, corpus.streams[kind][name], tokenizer)
                for name in streams
            }
            facts = Facts(_STREAM_HEADER, _stream_rows(streams, measures, inputs))
            drawn = [pictures[kind]] if kind in pictures else []
            sections.append(
                Section(title, text=_STREAM_TEXT, facts=[facts], pictures=drawn)
            )
    sections.append(Section("Rejected", facts=[_rejected(manifest, inputs)]))
    if inputs:
        sections.append(Section("Sources", facts=[_sources(inputs)]))
    return sections


def _pictures(
    directory: Path, streams: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, Picture]:
    """Writes and returns the pictures of both kinds, the largest stream on top."""
    shares, rates = {}, {}
    for kind, named in streams.items():
        tokens = {name: facts["real_tokens"] for name, facts in named.items()}
        tokens = {name: count for name, count in tokens.items() if count}
        order = sorted(tokens, key=lambda name: (-tokens[name], name))
        if not order:
            continue
        total = sum(tokens.values())
        shares[kind] = {name: tokens[name] / total for name in order}
        rates[kind] = {name: named[name]["rate"] for name in order}
    return write_rate_figures(directory, shares, rates)


def _overview(manifest: Mapping[str, Any]) -> Facts:
    facts = {
        "tokens of a row": f"{manifest['row_length']:,}",
        "pairs of a row, at most": f"{manifest['max_pairs']:,}",
        "vocabulary": f"{manifest['vocab_size']:,}",
        "evaluation sentences kept out": (
            f"{manifest.get('excluded_evaluation_sentences', 0):,}"
        ),
        "fingerprint": manifest["fingerprint"],
        "of the tokenizer": manifest["tokenizer_fingerprint"],
    }
    return Facts(("what", "value"), [*facts.items()])


def _stream_rows(
    streams: Mapping[str, Mapping[str, Any]],
    measures: Mapping[str, StreamMeasures],
    inputs: Sequence[InputFacts],
) -> list[tuple[str, ...]]:
    total = sum(facts["real_tokens"] for facts in streams.values()) or 1
    rows = []
    for name, facts in streams.items():
        rejected, measured = sum(facts["rejects"].values()), measures[name]
        kept = 1 - rejected / facts["inputs"] if facts["inputs"] else 0.0
        rows.append(
            (
                name,
                f"{sum(name in source.streams for source in inputs)}",
                f"{facts['inputs']:,}",
                f"{kept:.1%}",
                f"{facts['sentences']:,}",
                f"{facts['real_tokens']:,}",
                f"{facts['real_tokens'] / total:.4f}",
                f"{facts['rate']:.4f}",
                f"{measured.unknown:.2%}",
                f"{measured.tokens_per_word:.2f}",
                " / ".join(map(str, measured.lengths)),
            )
        )
    return rows


def _rejected(manifest: Mapping[str, Any], inputs: Sequence[InputFacts]) -> Facts:
    examples = {
        reason: line for facts in inputs for reason, line in facts.examples.items()
    }
    lines = sum(
        facts["inputs"]
        for streams in manifest["streams"].values()
        for facts in streams.values()
    )
    return Facts(
        ("reason", "lines and pairs", "share", "for example"),
        [
            (reason, f"{count:,}", f"{count / lines:.2%}", examples.get(reason, ""))
            for reason, count in manifest["rejects"].items()
        ],
    )


def _sources(inputs: Sequence[InputFacts]) -> Facts:
    return Facts(
        ("file", "kind", "streams", "lines", "kept", "rejected", "license"),
        [
            (
                " and ".join(source.files),
                source.kind,
                ", ".join(source.streams),
                f"{source.lines:,}",
                f"{source.kept:,}",
                listed(source.rejects),
                source.license or ("" if source.kind == HELD_OUT else "not stated"),
            )
            for source in inputs
        ],
    )
