"""Writes docs/library.md, the library's public names.

python docs/library.py
"""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_suffix(".md")
NAMES = {
    "amber_jax": ("load",),
    "amber_jax.inference.model": ("Model", "Encoded"),
    "amber_jax.errors": ("UserError",),
    "amber_jax.config": (
        *("pretraining", "stage", "as_variant", "refuse_variant"),
        *(
            "corpus",
            "finetuning",
            "evaluation",
            "retrieval",
            "word_alignment_evaluation",
        ),
    ),
    "amber_jax.corpora.sources": (
        *("TextSource", "MosesSource", "TsvSource", "ManyWaySource", "TmxSource"),
        "Converted",
        "source_files",
    ),
    "amber_jax.corpora.conversion": ("Conversion", "document_rows"),
    "amber_jax.corpora.downloads": (
        *("WikipediaSource", "WikimediaJsonSource", "RecordSource", "RecordPairSource"),
        *("MosesArchiveSource", "XcesSource", "TfdsSource", "TfdsPairSource"),
    ),
    "amber_jax.corpora.folder": ("folder_sources", "FolderContent", "named_folder"),
    "amber_jax.corpora.cleaning.options": ("Cleaning",),
    "amber_jax.storage": ("location",),
}
HEAD = """\
# The library

What programs and files of configs may import: these names, and of classes what begins
with no underscore. A change of one of them stands in the changelog; every other name
may change without a word. `python docs/library.py` writes this page from the first
lines of the docstrings.
"""


def page() -> str:
    """Returns the page: a table for each module."""
    return "\n".join([HEAD, *(_table(*module) for module in NAMES.items())])


def _table(module: str, names: tuple[str, ...]) -> str:
    owner = importlib.import_module(module)
    lines = [
        f"| `{call}` | {thing.__doc__.partition(chr(10))[0]} |"
        for name in names
        for call, thing in _with_methods(name, getattr(owner, name))
    ]
    return "\n".join([f"## {module}\n", "| name | |", "| --- | --- |", *lines, ""])


def _with_methods(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    if not inspect.isclass(thing):
        yield name + _parameters(thing), thing
        return
    yield name, thing
    for member, method in vars(thing).items():
        if inspect.isfunction(method) and not member.startswith("_"):
            yield f"{name}.{member}{_parameters(method)}", method


def _parameters(function: Any) -> str:
    """Returns `(first, second, *, third)`, without types and values."""
    empty = inspect.Parameter.empty
    parameters = [
        parameter.replace(annotation=empty, default=empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    ]
    return str(inspect.Signature(parameters))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
