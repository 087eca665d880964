"""The corpus folder: fixed-size TFRecord shards and the manifest that vouches for them.

A payload is little-endian int32 [L + 2 N]. Its frame is 12 bytes before and 4 after,
so a shard is also a matrix of int32 [rows, 3 + L + 2 N + 1], and any row has its place.
This module is the format's only reader and writer.
"""

import hashlib
import itertools
import json
import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from amber_jax.errors import UserError

FORMAT = 1
MANIFEST = "manifest.json"
KINDS = ("mono", "pair")
_HEAD_WORDS = 3  # u64 length, u32 masked crc of the length
_FRAME_WORDS = _HEAD_WORDS + 1  # and u32 masked crc of the payload
_CRC_MASK_DELTA = 0xA282EAD8
_CHUNK_BYTES = 1 << 22


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
    rows_per_shard: int
    vocab_size: int
    tokenizer_fingerprint: str
    fingerprint: str
    streams: Mapping[str, Mapping[str, Stream]]  # kind -> name -> stream


def shard_name(kind: str, stream: str, number: int, count: int) -> str:
    """Returns `shards/pair/en-fr-00000-of-00007.tfrecord` for shard 0 of 7."""
    return f"shards/{kind}/{stream}-{number:05d}-of-{count:05d}.tfrecord"


def write_shard(path: Path, rows: np.ndarray) -> dict[str, Any]:
    """Writes rows [R, L + 2 N] int32 as TFRecords; returns file name, bytes, sha256."""
    data = frame(rows).tobytes()
    path.write_bytes(data)
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
    framed[:, 2] = _masked_crc(length.tobytes())
    framed[:, _HEAD_WORDS:-1] = payload.view("<u4")
    framed[:, -1] = [_masked_crc(row.tobytes()) for row in payload]
    return framed


def read_rows(corpus: Corpus, stream: Stream, indices: np.ndarray) -> np.ndarray:
    """Returns the rows `indices` [K] of a stream, [K, L + 2 N] int32.

    Each is read by a system call of its own: rows asked for are few of a shard and
    far apart, and mapping the shard into memory would take longer than reading them.

    Raises:
        OSError: a shard is not there.
        ValueError: a shard is shorter than it was.
    """
    width = corpus.row_length + 2 * corpus.max_pairs
    rows = np.empty((len(indices), width), "<i4")
    shards, places = np.divmod(indices, corpus.rows_per_shard)
    offsets = 4 * (places * (width + _FRAME_WORDS) + _HEAD_WORDS)
    order = np.argsort(indices)
    located = (part[order].tolist() for part in (shards, offsets))
    wanted = zip(*located, order.tolist(), strict=True)
    for shard, of_shard in itertools.groupby(wanted, operator.itemgetter(0)):
        path = stream.files[shard]
        with path.open("rb", buffering=0) as file:
            for _, offset, row in of_shard:
                if os.preadv(file.fileno(), [rows[row]], offset) < 4 * width:
                    raise ValueError(f"{path} ends before byte {offset + 4 * width}")
    return rows.astype(np.int32, copy=False)


def write_manifest(directory: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the manifest with format number and fingerprint; returns what it wrote.

    The fingerprint is the sha256 of everything else in the manifest, hence of every
    shard: equal fingerprints mean equal corpora.
    """
    body = {"format": FORMAT, **manifest}
    text = json.dumps(body, sort_keys=True).encode()
    body["fingerprint"] = hashlib.sha256(text).hexdigest()
    (directory / MANIFEST).write_text(json.dumps(body, indent=1) + "\n", "utf-8")
    return body


def read_manifest(directory: Path) -> dict[str, Any]:
    """Returns the manifest of a corpus folder as it was written.

    Raises:
        UserError: there is none, it is damaged, or of another format.
    """
    path = Path(directory) / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{directory}: no {MANIFEST} found, so this is no finished corpus; "
            "build one with launch/build_corpus.py"
        ) from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: damaged ({error}); build the corpus again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(
            f"{path}: not a manifest of format {FORMAT}; build the corpus again"
        )
    return manifest


def open_corpus(directory: Path, *, verify: bool) -> Corpus:
    """Returns the corpus in a folder after checking the size of every shard.

    Args:
        directory: what launch/build_corpus.py wrote.
        verify: also compare the sha256 of every shard (about 1 GB/s).

    Raises:
        UserError: names the file, what was found and what was wanted.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    try:
        corpus = _corpus(directory, manifest)
        shards = [
            (directory / shard["file"], shard["bytes"], shard["sha256"])
            for streams in manifest["streams"].values()
            for stream in streams.values()
            for shard in stream["shards"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{directory / MANIFEST}: damaged, {error} is missing or of a wrong type; "
            "build the corpus again"
        ) from error
    for path, size, digest in shards:
        _check_size(path, size)
        if verify:
            _check_digest(path, digest)
    return corpus


def file_digest(path: Path) -> str:
    """Returns the sha256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


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


def _check_size(path: Path, size: int) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        state = "missing" if found is None else f"{found} bytes long"
        raise UserError(
            f"{path}: {state}, but the manifest says {size} bytes; "
            "copy the corpus again, or remove the folder and build it again"
        )


def _check_digest(path: Path, digest: str) -> None:
    found = file_digest(path)
    if found != digest:
        raise UserError(
            f"{path}: its sha256 is {found[:12]}..., but the manifest says "
            f"{digest[:12]}...; the shard is corrupt, copy the corpus again, or remove "
            "the folder and build it again"
        )


def _masked_crc(data: bytes) -> int:
    """Source: tensorflow/core/lib/hash/crc32c.h (rotate right by 15, add a delta)."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _CRC_MASK_DELTA) & 0xFFFFFFFF
