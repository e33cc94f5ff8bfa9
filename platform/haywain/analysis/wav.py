"""WAV: frames of PCM or floats in a RIFF file, read as `scipy.io.wavfile` reads them.

RIFF, RIFX (big-endian) and RF64 with chunks in any order; PCM of 1 to 64 bits, floats of 32 and 64, also as
WAVE_FORMAT_EXTENSIBLE.  24 bits become int32 with the lowest byte zero, 8 bits and fewer are unsigned.
Sources: Microsoft and IBM, Multimedia Programming Interface and Data Specifications 1.0 (1991); Microsoft,
"Multiple channel audio data and WAVE files" (2001); EBU Tech 3306 (RF64).

A stream may hold several WAV files, one after the other, if they agree in format: recordings are appended.
One that was cut short ends where the next header stands, which is never taken for samples; that costs a look
through its bytes, and only there: a file that ends where its header says is believed.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from haywain.analysis.rows import COLUMNS_MAX, Layout, ReadableFile, Rows, cuts_at, numbered, read_at
from haywain.errors import InvalidError

MAGIC = (b"RIFF", b"RIFX", b"RF64")
UNKNOWN_SIZE = 0xFFFF_FFFF
"""What a writer that cannot seek back leaves as the size of the data."""

CHUNKS_MAX = 1_000
"""Most chunks before the data: more is garbage."""

PART_BYTES = 1 << 20
"""Bytes looked through at once for a header."""

_HEADER = re.compile(rb"(RIFF|RIFX|RF64)[\s\S]{4}WAVE")
_HEADER_CUT = re.compile(rb"RIFF|RIFX|RF64")
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL = {"<": bytes.fromhex("00001000800000aa00389b71"), ">": bytes.fromhex("00000010800000aa00389b71")}


class WavCutError(InvalidError):
    """A WAV that ends before its header says."""


@dataclass(frozen=True)
class WavPart:
    """One WAV file in a stream: frames in the bytes [start, stop), `stop` None where only the end tells.

    `end` is where another file may begin; `container` the bytes of a sample.
    """

    layout: Layout
    container: int
    start: int
    stop: int | None
    end: int | None

    @property
    def frame_bytes(self) -> int:
        """The bytes of a frame in the file."""
        return self.container * self.layout.row_shape[0]

    def frames_until(self, size: int) -> int:
        """Return the number of whole frames there are if the source has `size` bytes."""
        stop = size if self.stop is None else min(self.stop, size)
        return max(stop - self.start, 0) // self.frame_bytes

    def decode(self, data: bytes) -> Rows:
        """Return whole frames as an array of shape (frames, channels)."""
        count, dtype = len(data) // self.frame_bytes, self.layout.dtype
        data = data[: count * self.frame_bytes]
        if self.container == dtype.itemsize:
            return np.frombuffer(data, dtype).reshape(count, *self.layout.row_shape)
        wide = np.zeros((len(data) // self.container, dtype.itemsize), np.uint8)
        packed = np.frombuffer(data, np.uint8).reshape(-1, self.container)
        if dtype.byteorder == ">":
            wide[:, : self.container] = packed
        else:
            wide[:, -self.container :] = packed
        return wide.view(dtype).reshape(count, *self.layout.row_shape)

    def read(self, file: ReadableFile, first: int, stop: int) -> Rows:
        """Return the frames [first, stop), or fewer where the source ends."""
        size = (stop - first) * self.frame_bytes
        return self.decode(read_at(file, self.start + first * self.frame_bytes, size))


def may_begin_wav(head: bytes) -> bool:
    """Return whether a source may be a WAV by its first 12 bytes; of a shorter one, by those there are.

    >>> may_begin_wav(b"RIFF1234WAVEfmt "), may_begin_wav(b"RIFF"), may_begin_wav(b"a,b"), may_begin_wav(b"")
    (True, True, False, False)
    """
    return bool(head) and any(m.startswith(head[:4]) for m in MAGIC) and b"WAVE".startswith(head[8:12])


def read_part(file: ReadableFile, begin: int = 0) -> WavPart:
    """Read the header of the WAV file that begins at a byte; raises InvalidError, WavCutError."""
    if not may_begin_wav(read_at(file, begin, 12)):
        raise InvalidError(
            f"This is no WAV: at byte {begin} stands something else than RIFF, four bytes and WAVE"
        )
    head = _exactly(file, begin, 12)
    order = ">" if head[:4] == b"RIFX" else "<"
    riff_size = int(struct.unpack(f"{order}I", head[4:8])[0])
    position, part, wide_sizes = begin + 12, None, None
    for _ in range(CHUNKS_MAX):
        name, size = struct.unpack(f"{order}4sI", _exactly(file, position, 8))
        body = position + 8
        if name == b"ds64" and size >= 16:
            wide_sizes = struct.unpack("<QQ", _exactly(file, body, 16))
        elif name == b"fmt ":
            part = _read_format(_exactly(file, body, min(size, 64)), order, body)
        elif name == b"data":
            break
        position = body + size + size % 2
    else:
        raise InvalidError(f"The WAV has no data in its first {CHUNKS_MAX} chunks, up to byte {position}")
    if part is None:
        raise InvalidError(f"The WAV has no fmt chunk before its data at byte {position}")
    if wide_sizes is not None:
        riff_size, size = wide_sizes
    return _place(part, begin, body, riff_size, size, wide_sizes is not None)


def _place(part: WavPart, begin: int, body: int, riff_size: int, size: int, is_wide: bool) -> WavPart:
    """Return the part with its place in the source."""
    if size == UNKNOWN_SIZE and not is_wide:
        return replace(part, start=body)
    stop, end = body + size, begin + 8 + riff_size + riff_size % 2
    return replace(part, start=body, stop=stop, end=max(end, stop + size % 2))


def _exactly(file: ReadableFile, offset: int, size: int) -> bytes:
    end = file.seek(0, 2)
    if offset + size > end:
        raise WavCutError(f"The WAV is cut short at byte {end}, within its header")
    return read_at(file, offset, size)


def _read_format(data: bytes, order: str, at: int) -> WavPart:
    """Return a part without a place out of a `fmt ` chunk, which begins at byte `at`."""
    if len(data) < 16:
        raise InvalidError(f"The WAV's fmt chunk at byte {at} has {len(data)} bytes, it needs 16")
    tag, channels, rate, _, block, bits = struct.unpack(f"{order}HHIIHH", data[:16])
    if tag == _EXTENSIBLE and len(data) >= 40 and data[28:40] == _GUID_TAIL[order]:
        tag = int(struct.unpack(f"{order}I", data[24:28])[0])
    if not 0 < channels <= COLUMNS_MAX or not block or block % channels or not rate:
        raise InvalidError(
            f"The WAV's fmt chunk at byte {at} makes no sense: {channels} channels,"
            f" {block} bytes a frame, {rate} Hz"
        )
    container = block // channels
    layout = Layout(
        _dtype(tag, container, bits, order, at), (channels,), numbered("channel", channels), float(rate)
    )
    return WavPart(layout, container, 0, None, None)


def _dtype(tag: int, container: int, bits: int, order: str, at: int) -> np.dtype[Any]:  # Any: of the file
    if tag == _PCM and 1 <= bits <= 8 and container == 1:
        return np.dtype("u1")
    if tag == _PCM and 8 < bits <= 64 and 2 <= container <= 8:
        return np.dtype(f"{order}i{2 if container == 2 else 4 if container <= 4 else 8}")
    if tag == _FLOAT and bits in (32, 64) and container == bits // 8:
        return np.dtype(f"{order}f{container}")
    raise InvalidError(
        f"The WAV's format at byte {at} is not understood: tag {tag:#06x}, {bits} bits in {container} bytes;"
        " PCM of 1 to 64 bits and floats of 32 and 64 are"
    )


@dataclass(frozen=True)
class WavReader:
    """Reads the frames of all WAV files in a source; `accept_cut` takes what there is of one cut short."""

    layout: Layout
    parts: tuple[WavPart, ...]
    size: int

    def step(self, file: ReadableFile, offset: int, limit: int, rows_before: int | None) -> tuple[Rows, int]:
        """Return the whole frames in the next `limit` bytes."""
        for part in self.parts:
            done = max(offset - part.start, 0) // part.frame_bytes
            left = part.frames_until(self.size) - done
            if left > 0:
                stop = done + min(left, max(limit // part.frame_bytes, 1))
                return part.read(file, done, stop), part.start + stop * part.frame_bytes
        return self.layout.empty(), offset

    def cuts(self, file: ReadableFile, stop: int, step: int) -> Iterator[int]:
        """Yield places between frames."""
        yield from cuts_at(self._starts(stop, step), stop, 1)

    def _starts(self, stop: int, step: int) -> Iterator[int]:
        for part in self.parts:
            frames = part.frames_until(stop)
            for first in range(0, frames, max(step // part.frame_bytes, 1)):
                yield part.start + first * part.frame_bytes


def open_wav(file: ReadableFile, accept_cut: bool = False) -> WavReader:
    """Read the headers; raises InvalidError, and WavCutError unless a cut is accepted."""
    part, begin = first_part(file, accept_cut)
    first, parts = part, [part]
    while begin is not None:
        try:
            header = read_part(file, begin)
        except WavCutError:
            if not accept_cut:
                raise
            break
        part, begin = _bounded(file, _alike(header, first, begin), accept_cut)
        parts.append(part)
    return WavReader(first.layout, tuple(parts), file.seek(0, 2))


def first_part(file: ReadableFile, accept_cut: bool = False) -> tuple[WavPart, int | None]:
    """Return the first WAV file of a source, and where the next begins; raises as `open_wav` does."""
    return _bounded(file, read_part(file), accept_cut)


def _bounded(file: ReadableFile, part: WavPart, accept_cut: bool) -> tuple[WavPart, int | None]:
    """Return a part as far as it goes, and where the next one begins, None behind the last.

    It ends where its header says, if the source ends there too or another header follows.  Else it was cut,
    or never told its size, and ends where the next header stands: what is behind that is no sample of it.
    """
    size = file.seek(0, 2)
    if part.stop is not None and part.end is not None:
        if part.stop <= size <= part.end:
            return part, None
        if part.end < size:
            for end in (part.end, part.stop):  # some leave out the byte that makes odd data even
                if may_begin_wav(read_at(file, end, 4)):
                    return part, end
    begin = _next_header(file, part.start, size)
    if part.stop is not None and not accept_cut:
        raise _cut(file, part, begin, size)
    if part.stop is None or part.end == part.start:  # unknown, or never written
        return replace(part, stop=begin), begin
    return replace(part, stop=part.stop if begin is None else min(part.stop, begin)), begin


def _cut(file: ReadableFile, part: WavPart, begin: int | None, size: int) -> InvalidError:
    """Return what is wrong with a part that does not end where its header says."""
    assert part.stop is not None and part.end is not None
    if part.stop > size or (begin is not None and begin < part.stop):
        at = f"byte {size}" if begin is None else f"byte {begin}, where another one begins"
        return WavCutError(
            f"The WAV is cut short at {at}: its data should end at byte {part.stop};"
            " set accept_cut to take the frames that are there"
        )
    found = read_at(file, part.end, 12)
    return InvalidError(
        f"At byte {part.end}, behind the WAV, stands {found!r}, which begins no WAV;"
        " set accept_cut to pass it over"
    )


def _next_header(file: ReadableFile, start: int, stop: int) -> int | None:
    """Return where the next WAV file begins in the bytes [start, stop); its header may lack the end."""
    for position in range(start, stop, PART_BYTES):
        data = read_at(file, position, PART_BYTES + 11)
        is_last = position + len(data) >= stop
        found = _HEADER.search(data)
        if found is None and is_last:
            found = _HEADER_CUT.search(data, max(len(data) - 11, 0))
        if found is not None:
            return position + found.start()
    return None


def _alike(part: WavPart, first: WavPart, begin: int) -> WavPart:
    if part.layout != first.layout:
        raise InvalidError(
            f"The WAV that begins at byte {begin} has another format than the first in the stream"
        )
    return part
