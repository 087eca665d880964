"""Bytes of TensorBoard event files, so that writing them imports no TensorFlow.

An event file is a TFRecord file of `Event` messages. The functions return one framed
record each; times are seconds since 1970.

Source: tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto
(field numbers), tensorflow/core/lib/io/record_writer.h (framing, masked CRC).
"""

import struct
from collections.abc import Mapping

import google_crc32c

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers
_CRC_MASK_DELTA = 0xA282EAD8
_SESSION_START = 1


def version_event(wall_time: float) -> bytes:
    """Returns the record every event file begins with."""
    return _framed(_event(wall_time, step=0) + _bytes_field(3, b"brain.Event:2"))


def restart_event(wall_time: float, *, step: int) -> bytes:
    """Returns the record that makes readers forget earlier events from `step` on."""
    status = _key(1, _VARINT) + _varint(_SESSION_START)
    return _framed(_event(wall_time, step=step) + _bytes_field(7, status))


def scalar_event(wall_time: float, scalars: Mapping[str, float], *, step: int) -> bytes:
    """Returns the record that holds one float32 per tag at `step`."""
    values = b"".join(
        _bytes_field(1, _scalar(tag, value)) for tag, value in scalars.items()
    )
    return _framed(_event(wall_time, step=step) + _bytes_field(5, values))


def _event(wall_time: float, *, step: int) -> bytes:
    time_field = _key(1, _FIXED64) + struct.pack("<d", wall_time)
    return time_field + _key(2, _VARINT) + _varint(step)


def _scalar(tag: str, value: float) -> bytes:
    simple_value = _key(2, _FIXED32) + struct.pack("<f", value)
    return _bytes_field(1, tag.encode()) + simple_value


def _key(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _bytes_field(field: int, payload: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(payload)) + payload


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _framed(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + _masked_crc(length) + payload + _masked_crc(payload)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + _CRC_MASK_DELTA) & 0xFFFFFFFF)
