"""A WAV recording in a stream: its format, and its outline from a bounded number of reads.

RIFF and RF64 (EBU Tech 3306); PCM of 8 to 32 bits and IEEE float, also as WAVE_FORMAT_EXTENSIBLE.  Only the
first `data` chunk counts; one whose length was never filled in reaches to the end of the stream.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy
from numpy.typing import NDArray

from haywain.interfaces import ByteStream
from haywain.values import KIB, MIB
from haywain.web.expired import first_of

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
MOST_CHUNKS = 64
"""So many chunks may stand before the samples."""

WHOLE_BYTES = 64 * MIB
"""Up to this size every sample counts; beyond it a window of each column does."""

_BATCH_BYTES = 4 * MIB
_WINDOW_BYTES = 16 * KIB
_MOST_LANES = 8
_UNKNOWN = (0, 0xFFFFFFFF)

Numbers = NDArray[Any]  # Any: integers or floats, as the samples are


@dataclass(frozen=True)
class Recording:
    """The format of the samples, and where they lie in the stream: bytes [start, stop)."""

    rate: int
    channels: int
    bits: int
    coding: int
    start: int
    stop: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.channels * self.bits // 8

    @property
    def frames(self) -> int:
        """Samples of each channel."""
        return (self.stop - self.start) // self.frame_bytes

    @property
    def duration_s(self) -> float:
        """How long it plays."""
        return self.frames / self.rate

    @property
    def can_be_drawn(self) -> bool:
        """Whether the coding of the samples is one of ours."""
        return (self.coding, self.bits) in _SCALES and self.frames > 0


@dataclass(frozen=True)
class Outline:
    """The lowest and highest value of each channel in each column, between -1 and 1."""

    lanes: tuple[tuple[list[float], list[float]], ...]
    is_sampled: bool

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it for JSON."""
        return {
            "lanes": [{"low": low, "high": high} for low, high in self.lanes],
            "is_sampled": self.is_sampled,
        }


_SCALES = {
    (PCM, 8): 2**7,
    (PCM, 16): 2**15,
    (PCM, 24): 2**23,
    (PCM, 32): 2**31,
    (FLOAT, 32): 1,
    (FLOAT, 64): 1,
}
_DTYPES = {(PCM, 8): "u1", (PCM, 16): "<i2", (PCM, 32): "<i4", (FLOAT, 32): "<f4", (FLOAT, 64): "<f8"}


def recording_of(stream: ByteStream) -> Recording | None:
    """Return the recording that a stream holds, None if it holds none, or its head has expired."""
    if first_of(stream):
        return None
    head = _read(stream, 0, 12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    form: tuple[int, int, int, int] | None = None
    long_size = 0
    for name, start, size in _chunks(stream):
        if name == b"ds64":
            long_size = struct.unpack("<Q", _read(stream, start + 8, 8).ljust(8, b"\0"))[0]
        elif name == b"fmt ":
            form = _format(_read(stream, start, min(size, 40)))
        elif name == b"data":
            size = long_size if size == _UNKNOWN[1] and long_size else size
            stop = stream.size if size in _UNKNOWN else min(start + size, stream.size)
            return Recording(*form, start, stop) if form else None
    return None


def _chunks(stream: ByteStream) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and size of the chunks, in order."""
    position = 12
    for _ in range(MOST_CHUNKS):
        head = _read(stream, position, 8)
        if len(head) < 8:
            return
        name, size = struct.unpack("<4sI", head)
        yield name, position + 8, size
        position += 8 + size + size % 2


def _format(body: bytes) -> tuple[int, int, int, int] | None:
    """Return rate, channels, bits, coding; None if they make no sense."""
    if len(body) < 16:
        return None
    coding, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    if coding == EXTENSIBLE and len(body) >= 26:
        coding = struct.unpack_from("<H", body, 24)[0]
    if not channels or not rate or not bits or frame_bytes * 8 != channels * bits:
        return None
    return rate, channels, bits, coding


def outline_of(stream: ByteStream, recording: Recording, columns: int = 1000) -> Outline:
    """Return the outline of a recording, in at most `columns` columns."""
    edges = numpy.linspace(0, recording.frames, min(columns, recording.frames) + 1).astype(int)
    is_sampled = recording.stop - recording.start > WHOLE_BYTES
    parts = _windows(stream, recording, edges) if is_sampled else _batches(stream, recording, edges)
    lows, highs = zip(*parts, strict=True)
    low, high = numpy.concatenate(lows), numpy.concatenate(highs)
    lanes = range(min(recording.channels, _MOST_LANES))
    return Outline(tuple((_rounded(low[:, lane]), _rounded(high[:, lane])) for lane in lanes), is_sampled)


def _batches(stream: ByteStream, recording: Recording, edges: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield lows and highs of some columns at a time, from every sample of them."""
    step = max(1, int(_BATCH_BYTES // (recording.frame_bytes * max(1, edges[1] - edges[0]))))
    for first in range(0, len(edges) - 1, step):
        here = edges[first : first + step + 1]
        samples = _samples(stream, recording, int(here[0]), int(here[-1]))
        starts = here[:-1] - here[0]
        yield numpy.minimum.reduceat(samples, starts), numpy.maximum.reduceat(samples, starts)


def _windows(stream: ByteStream, recording: Recording, edges: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield lows and highs of one column at a time, from a window at its start."""
    most = max(1, _WINDOW_BYTES // recording.frame_bytes)
    for start, stop in pairwise(edges):
        samples = _samples(stream, recording, int(start), min(int(stop), int(start) + most))
        yield samples.min(axis=0, keepdims=True), samples.max(axis=0, keepdims=True)


def _samples(stream: ByteStream, recording: Recording, first: int, last: int) -> Numbers:
    """Return the frames [first, last), one row each, between -1 and 1."""
    size = recording.frame_bytes
    data = _read(stream, recording.start + first * size, (last - first) * size)
    kind = (recording.coding, recording.bits)
    if kind == (PCM, 24):
        padded = numpy.zeros((len(data) // 3, 4), "u1")
        padded[:, 1:] = numpy.frombuffer(data, "u1").reshape(-1, 3)
        found: Numbers = padded.view("<i4").ravel() >> 8
    else:
        found = numpy.frombuffer(data, _DTYPES[kind])
    if kind == (PCM, 8):
        found = found.astype("i2") - 128
    return numpy.nan_to_num(found.reshape(-1, recording.channels).astype("f4") / _SCALES[kind])


def _rounded(values: Numbers) -> list[float]:
    return [round(float(value), 4) for value in numpy.clip(values, -1, 1)]


def _read(stream: ByteStream, start: int, length: int) -> bytes:
    return b"".join(stream.chunks(start, start + length))
