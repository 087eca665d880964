"""The corpus folder: fixed-size TFRecord shards and the manifest that vouches for them.

A payload is little-endian int32 [L + 2 N]. Its frame is 12 bytes before and 4 after,
so a shard is also a matrix of int32 [rows, 3 + L + 2 N + 1], and any row has its place.
This module is the format's only reader and writer.
"""

import hashlib
import itertools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from amber_jax.corpora.spans import Span, digests, local_copies, masked_crc, read_spans
from amber_jax.errors import UserError
from amber_jax.files import (
    fingerprint,
    read_object,
    write_bytes,
    write_json,
)
from amber_jax.storage import is_remote, location, refuse_unfinished

FORMAT = 1
MANIFEST = "manifest.json"
KINDS = ("mono", "pair")
_HEAD_WORDS = 3  # u64 length, u32 masked crc of the length
_FRAME_WORDS = _HEAD_WORDS + 1  # and u32 masked crc of the payload
_BUILD_AGAIN = "copy the corpus again, or remove the folder and build it again"


@dataclass(frozen=True)
class Stream:
    """The shards of one language or one language pair, in row order."""

    name: str
    files: tuple[Path, ...]
    rows: int
    pairs: int
    real_tokens: int
    rate: float  # probability among the streams of its kind


@dataclass(frozen=True)
class Corpus:
    """An opened corpus folder."""

    directory: Path
    row_length: int
    max_pairs: int
    rows_per_shard: int  # a stream of fewer has one short shard
    vocab_size: int
    tokenizer_fingerprint: str
    fingerprint: str
    streams: Mapping[str, Mapping[str, Stream]]  # kind -> name -> stream
    separators: int = 1  # between the sides of a pair, see `packing`

    @property
    def is_remote(self) -> bool:
        """Whether rows are read from object storage."""
        streams = (each for named in self.streams.values() for each in named.values())
        return any(
            map(is_remote, itertools.chain.from_iterable(s.files for s in streams))
        )

    @property
    def row_bytes(self) -> int:
        """The bytes of a row in its shard."""
        return 4 * (self.row_length + 2 * self.max_pairs + _FRAME_WORDS)


def shard_name(kind: str, stream: str, number: int, count: int) -> str:
    """Returns `shards/pair/en-fr-00000-of-00007.tfrecord` for shard 0 of 7."""
    return f"shards/{kind}/{stream}-{number:05d}-of-{count:05d}.tfrecord"


def write_shard(path: Path, rows: np.ndarray) -> dict[str, Any]:
    """Writes rows [R, L + 2 N] int32 as TFRecords; returns file name, bytes, sha256."""
    data = frame(rows).tobytes()
    write_bytes(path, data)
    digest = hashlib.sha256(data).hexdigest()
    return {"file": path.name, "bytes": len(data), "sha256": digest}


def frame(rows: np.ndarray) -> np.ndarray:
    """Returns rows [R, W] int32 with their TFRecord frames, [R, W + 4] little-endian.

    Source: tensorflow/core/lib/io/record_writer.h (length, masked crc32c of the
    length, payload, masked crc32c of the payload).
    """
    payload = np.ascontiguousarray(rows, "<i4")
    length = np.array([4 * payload.shape[1]], "<u8")
    framed = np.empty((len(rows), payload.shape[1] + _FRAME_WORDS), "<u4")
    framed[:, :2] = length.view("<u4")
    framed[:, 2] = masked_crc(length.tobytes())
    framed[:, _HEAD_WORDS:-1] = payload.view("<u4")
    framed[:, -1] = [masked_crc(row.tobytes()) for row in payload]
    return framed


def read_rows(corpus: Corpus, stream: Stream, indices: np.ndarray) -> np.ndarray:
    """Returns the rows `indices` [K] of a stream, as `read_rows_of` does."""
    return read_rows_of(corpus, [(stream, indices)])


def read_rows_of(
    corpus: Corpus, wanted: Sequence[tuple[Stream, np.ndarray]]
) -> np.ndarray:
    """Returns rows of several streams, one stream after the other, [K, L + 2 N] int32.

    Args:
        corpus: that has the streams.
        wanted: each stream and the numbers of its rows, K of all together.

    Raises:
        OSError: a shard is not there, or its storage does not answer.
        ValueError: a shard is shorter than it was.
    """
    width = corpus.row_length + 2 * corpus.max_pairs
    rows = np.empty((sum(len(indices) for _, indices in wanted), width), "<i4")
    read_spans(_located(corpus, wanted, rows))
    return rows.astype(np.int32, copy=False)


def _located(
    corpus: Corpus, wanted: Sequence[tuple[Stream, np.ndarray]], rows: np.ndarray
) -> Iterator[tuple[Path, list[Span]]]:
    """Yields the files of rows, each with what of it goes to which of `rows`."""
    begin = 0
    for stream, indices in wanted:
        shards, places = np.divmod(indices, corpus.rows_per_shard)
        offsets = 4 * (places * (rows.shape[1] + _FRAME_WORDS) + _HEAD_WORDS)
        order = np.argsort(indices)
        located = (part[order].tolist() for part in (shards, offsets))
        spans = zip(*located, (begin + order).tolist(), strict=True)
        for shard, of_shard in itertools.groupby(spans, operator.itemgetter(0)):
            yield (
                stream.files[shard],
                [Span(offset, rows[row]) for _, offset, row in of_shard],
            )
        begin += len(indices)


def write_manifest(directory: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the manifest with format number and fingerprint; returns what it wrote.

    The fingerprint is the sha256 of everything else in the manifest, hence of every
    shard: equal fingerprints mean equal corpora.
    """
    body = {"format": FORMAT, **manifest}
    body["fingerprint"] = fingerprint(body)
    write_json(directory / MANIFEST, body)
    return body


def read_manifest(directory: Path) -> dict[str, Any]:
    """Returns the manifest of a corpus folder as it was written.

    Raises:
        UserError: there is none, it is damaged, or of another format.
    """
    path = location(directory) / MANIFEST
    refuse_unfinished(path.parent)
    if not path.exists():
        raise UserError(
            f"{directory}: no {MANIFEST} found, so this is no finished corpus; "
            "build one with amber build_corpus"
        )
    manifest = read_object(path, _BUILD_AGAIN)
    if manifest.get("format") != FORMAT:
        raise UserError(f"{path}: not a manifest of format {FORMAT}; {_BUILD_AGAIN}")
    body = {name: value for name, value in manifest.items() if name != "fingerprint"}
    if manifest.get("fingerprint") != fingerprint(body):
        raise UserError(
            f"{path}: damaged, it is not what was written (its fingerprint differs); "
            f"{_BUILD_AGAIN}"
        )
    return manifest


def open_corpus(directory: Path, *, verify: bool, cache: bool = False) -> Corpus:
    """Returns the corpus in a folder after checking the size of every shard.

    Args:
        directory: what amber build_corpus wrote.
        verify: also compare the sha256 of every shard (about 1 GB/s).
        cache: read whole shards from object storage to local disk now (`storage`),
            instead of rows when they are wanted.

    Raises:
        UserError: names the file, what was found and what was wanted.
    """
    directory = location(directory)
    manifest = read_manifest(directory)
    try:
        _check_ranges(manifest)
        corpus = _corpus(directory, manifest)
        shards = [
            (directory / shard["file"], shard["bytes"], shard["sha256"])
            for streams in manifest["streams"].values()
            for stream in streams.values()
            for shard in stream["shards"]
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{directory / MANIFEST}: damaged, {error} is missing, of a wrong type or "
            f"out of range; {_BUILD_AGAIN}"
        ) from error
    sizes = _sizes(directory, [path for path, _, _ in shards])
    for path, size, _ in shards:
        _check_size(path, sizes.get(path), size)
    if cache:
        files = [path for path, _, _ in shards]
        copies = dict(zip(files, local_copies(files), strict=True))
        corpus = _copied(corpus, copies)
        shards = [(copies[path], *rest) for path, *rest in shards]
    if verify:
        computed = digests([path for path, _, _ in shards])
        for (path, _, digest), own in zip(shards, computed, strict=True):
            _check_digest(path, own, digest)
    return corpus


def _check_ranges(manifest: Mapping[str, Any]) -> None:
    """Raises ValueError naming the first number that cannot be, or as indexing does."""
    for name in ("row_length", "max_pairs", "rows_per_shard", "vocab_size"):
        value = manifest[name]
        _require(name, value, type(value) is int and value > 0)
    separators = manifest.get("separators", 1)
    _require("separators", separators, separators in (1, 2))
    row_bytes = 4 * (manifest["row_length"] + 2 * manifest["max_pairs"] + _FRAME_WORDS)
    for kind in KINDS:
        streams = manifest["streams"].get(kind, {})
        for name, facts in streams.items():
            for count in ("rows", "pairs", "real_tokens"):
                value = facts[count]
                _require(f"{name} {count}", value, type(value) is int and value >= 0)
            rate = facts["rate"]
            _require(f"{name} rate", rate, 0 <= rate <= 1)
            largest = facts.get("max_token_id", 0)
            _require(
                f"{name} max_token_id", largest, 0 <= largest < manifest["vocab_size"]
            )
            sizes = [shard["bytes"] for shard in facts["shards"]]
            _require(f"{name} bytes", sizes, sum(sizes) == facts["rows"] * row_bytes)
            # One shard may be short; rows are found by dividing, so no other can.
            full = row_bytes * manifest["rows_per_shard"]
            _require(
                f"{name} bytes",
                sizes,
                set(sizes) <= {full} or (len(sizes) == 1 and sizes[0] < full),
            )
            for shard in facts["shards"]:
                inside = not {"..", "/"} & set(PurePosixPath(shard["file"]).parts)
                _require(f"{name} file", shard["file"], inside)
        total = sum(facts["rate"] for facts in streams.values())
        _require(f"{kind} rates", total, not streams or math.isclose(total, 1))


def _require(name: str, value: object, holds: object) -> None:
    if not holds:
        raise ValueError(f"{name} {value!r}")


def _corpus(directory: Path, manifest: Mapping[str, Any]) -> Corpus:
    streams = {
        kind: {
            name: _stream(directory, name, facts)
            for name, facts in manifest["streams"].get(kind, {}).items()
        }
        for kind in KINDS
    }
    return Corpus(
        directory=directory,
        row_length=manifest["row_length"],
        max_pairs=manifest["max_pairs"],
        rows_per_shard=manifest["rows_per_shard"],
        vocab_size=manifest["vocab_size"],
        tokenizer_fingerprint=manifest["tokenizer_fingerprint"],
        fingerprint=manifest["fingerprint"],
        streams=streams,
        separators=manifest.get("separators", 1),
    )


def _stream(directory: Path, name: str, facts: Mapping[str, Any]) -> Stream:
    return Stream(
        name=name,
        files=tuple(directory / shard["file"] for shard in facts["shards"]),
        rows=facts["rows"],
        pairs=facts["pairs"],
        real_tokens=facts["real_tokens"],
        rate=facts["rate"],
    )


def _copied(corpus: Corpus, copies: Mapping[Path, Path]) -> Corpus:
    """Returns a corpus whose shards are read from their copies."""
    streams = {
        kind: {
            name: replace(stream, files=tuple(copies[file] for file in stream.files))
            for name, stream in streams.items()
        }
        for kind, streams in corpus.streams.items()
    }
    return replace(corpus, streams=streams)


def _sizes(directory: Path, files: Sequence[Path]) -> dict[Path, int]:
    """Returns the bytes of the files that are there; one listing of what is remote."""
    if is_remote(directory):
        objects = directory.objects_below()  # type: ignore[attr-defined]
        return {directory / name: info.size for name, info in objects.items()}
    return {path: path.stat().st_size for path in files if path.is_file()}


def _check_size(path: Path, actual: int | None, size: int) -> None:
    if actual != size:
        state = "missing" if actual is None else f"{actual} bytes long"
        raise UserError(
            f"{path}: {state}, but the manifest says {size} bytes; {_BUILD_AGAIN}"
        )


def _check_digest(path: Path, actual: str, digest: str) -> None:
    if actual != digest:
        raise UserError(
            f"{path}: its sha256 is {actual[:12]}..., but the manifest says "
            f"{digest[:12]}...; the shard is corrupt, {_BUILD_AGAIN}"
        )
