"""Under which license each source says that its text may be passed on.

    fr.txt.gz.license       REUSE's file beside another: SPDX-License-Identifier: ...
    LICENSE, COPYING        beside the source, or in its zip archive: the first line
    dataset_info.json       of a prepared or saved data set

What a config's `licenses` says of a file goes before all of these.

Source: REUSE specification 3.3, "Comment headers"; Wikimedia's "Legal" page of the
dumps.
"""

import contextlib
import functools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from amber_jax.corpora.downloads import WikimediaJsonSource, WikipediaSource
from amber_jax.corpora.formats.archives import open_archive
from amber_jax.corpora.formats.tfds import INFO
from amber_jax.corpora.sources import Source, source_files
from amber_jax.files import MAX_JSON_BYTES

Licenses = Sequence[tuple[str, str]]  # pattern of a path, license

_WIKIMEDIA = "CC BY-SA 4.0"
_FILE = re.compile(r"(licen[cs]e|copying)\b[^/]*", re.IGNORECASE)
_SPDX = re.compile(r"SPDX-License-Identifier:\s*(.+)")
_MOST_CHARACTERS = 80


def license_of(source: Source, licenses: Licenses = ()) -> str:
    """Returns the license of a source, "A; B" if its files have several; or ""."""
    named = (_license(source, path, licenses) for path in source_files(source))
    return "; ".join(dict.fromkeys(filter(None, named)))


def _license(source: Source, path: Path, licenses: Licenses) -> str:
    for pattern, license_name in licenses:
        if path.match(pattern):
            return license_name
    if isinstance(source, WikipediaSource | WikimediaJsonSource):
        return _WIKIMEDIA
    return next(filter(None, _statements(path)), "")


def _statements(path: Path) -> Iterator[str]:
    """Yields what the places above say of a file or folder, or ""."""
    yield _spdx(path.with_name(path.name + ".license"))
    if path.suffix == ".zip":
        with open_archive(path) as archive:
            for name in filter(_is_license, archive.names):
                yield _first_line(b"".join(archive.chunks(name)))
    beside = path if path.is_dir() else path.parent
    yield _of_data_set(beside / INFO)
    yield _of_folder(beside)


@functools.lru_cache(maxsize=64)
def _of_folder(folder: Path) -> str:
    """The first line of a folder's LICENSE or COPYING; many sources share a folder."""
    with contextlib.suppress(OSError):  # what reads its text tells of failures
        for file in sorted(folder.iterdir()):
            if _is_license(file.name) and file.is_file():
                return _first_line(_beginning(file))
    return ""


def _is_license(name: str) -> bool:
    return _FILE.fullmatch(name.rpartition("/")[2]) is not None


def _spdx(path: Path) -> str:
    try:
        stated = _SPDX.search(_beginning(path).decode("utf-8", "replace"))
    except OSError:  # there is none, as a rule
        return ""
    return _short(stated[1]) if stated else ""


def _of_data_set(path: Path) -> str:
    """TFDS has it as `redistributionInfo`, Hugging Face's `datasets` as `license`."""
    try:
        facts = json.loads(path.read_bytes()[:MAX_JSON_BYTES])
        stated = facts.get("license") or facts["redistributionInfo"]["license"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""  # what reads its text tells of damage
    return _short(stated) if isinstance(stated, str) else ""


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 12)


def _first_line(content: bytes) -> str:
    text = content[: 1 << 12].decode("utf-8", "replace").strip()
    return _short(text.partition("\n")[0])


def _short(text: str) -> str:
    return " ".join(text.split())[:_MOST_CHARACTERS]
