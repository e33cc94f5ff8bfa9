"""Recordings: the formats there are, headers that lie, outlines of long ones."""

import struct
from collections.abc import Iterator

import numpy
import pytest

from haywain.web.pages import recording
from haywain.web.pages.recording import EXTENSIBLE, FLOAT, PCM, outline_of, recording_of

CODINGS = {
    "pcm-8": (PCM, 8, (numpy.array([0, 128, 255])).astype("u1").tobytes()),
    "pcm-16": (PCM, 16, numpy.array([-32768, 0, 32767], "<i2").tobytes()),
    "pcm-24": (PCM, 24, bytes.fromhex("000080 000000 ffff7f")),
    "pcm-32": (PCM, 32, numpy.array([-(2**31), 0, 2**31 - 1], "<i4").tobytes()),
    "float-32": (FLOAT, 32, numpy.array([-1, 0, 1], "<f4").tobytes()),
    "float-64": (FLOAT, 64, numpy.array([-1, numpy.nan, 1], "<f8").tobytes()),
}


class Bytes:
    """A stream in memory."""

    etag, content_type = "1", "audio/x-wav"

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.read = 0

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        piece = self.data[start:stop]
        self.read += len(piece)
        yield memoryview(piece)


def riff(
    body: bytes,
    coding: int = PCM,
    bits: int = 16,
    channels: int = 1,
    rate: int = 8000,
    size: int | None = None,
    before: bytes = b"",
    name: bytes = b"RIFF",
    tail: bytes = b"",
) -> bytes:
    form = (
        struct.pack(
            "<HHIIHH", coding, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits
        )
        + tail
    )
    data = struct.pack("<4sI", b"data", len(body) if size is None else size) + body
    chunks = before + struct.pack("<4sI", b"fmt ", len(form)) + form + data
    return name + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize("name", CODINGS)
def test_every_coding_is_read_between_minus_one_and_one(name: str) -> None:
    coding, bits, body = CODINGS[name]
    stream = Bytes(riff(body, coding, bits))
    found = recording_of(stream)
    assert found is not None and found.frames == 3 and found.can_be_drawn
    low, high = outline_of(stream, found).lanes[0]
    assert low == high == pytest.approx([-1, 0, 1], abs=0.01)


def test_extensible_format_names_its_coding_within() -> None:
    tail = struct.pack("<HHI", 22, 24, 0) + struct.pack("<H", PCM) + bytes(14)
    found = recording_of(Bytes(riff(b"\0" * 6, EXTENSIBLE, 24, tail=tail)))
    assert found is not None and (found.coding, found.bits) == (PCM, 24)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 10**6], ids=["zero", "unknown", "too-much"])
def test_length_that_cannot_be_is_that_of_the_stream(size: int) -> None:
    found = recording_of(Bytes(riff(b"\0" * 16, size=size)))
    assert found is not None and found.frames == 8


def test_rf64_has_its_length_elsewhere() -> None:
    before = struct.pack("<4sIQQQI", b"ds64", 28, 0, 8, 4, 0)
    found = recording_of(Bytes(riff(b"\0" * 16, size=0xFFFFFFFF, before=before, name=b"RF64")))
    assert found is not None and found.frames == 4


def test_chunks_before_the_samples_are_passed_over() -> None:
    before = struct.pack("<4sI", b"LIST", 5) + b"hello\0"
    found = recording_of(Bytes(riff(b"\0" * 16, before=before)))
    assert found is not None and found.frames == 8


@pytest.mark.parametrize(
    "data",
    [
        b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0AVI LIST", riff(b"")[:30],
        riff(b"\0" * 8, channels=0), riff(b"\0" * 8, rate=0), riff(b"\0" * 8, bits=0),
    ],
    ids=["empty", "short", "no-chunks", "avi", "cut", "no-channels", "no-rate", "no-bits"],
)  # fmt: skip
def test_what_is_no_recording_is_none(data: bytes) -> None:
    assert recording_of(Bytes(data)) is None


def test_many_chunks_end_the_search() -> None:
    stream = Bytes(b"RIFF\0\0\0\0WAVE" + struct.pack("<4sI", b"junk", 0) * 1000)
    assert recording_of(stream) is None and stream.read < 1000


def test_long_recording_is_sampled_with_bounded_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "WHOLE_BYTES", 1 << 16)
    monkeypatch.setattr(recording, "_WINDOW_BYTES", 64)
    stream = Bytes(riff(numpy.tile(numpy.array([-16384, 16384], "<i2"), 1 << 20).tobytes()))
    found = recording_of(stream)
    assert found is not None
    stream.read = 0
    outline = outline_of(stream, found)
    assert outline.is_sampled and stream.read <= 1000 * 64
    assert set(outline.lanes[0][0]) == {-0.5} and set(outline.lanes[0][1]) == {0.5}


def test_batches_agree_with_all_samples_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = numpy.random.default_rng(7).integers(-32768, 32767, 5003).astype("<i2")
    stream = Bytes(riff(samples.tobytes()))
    found = recording_of(stream)
    assert found is not None
    whole = outline_of(stream, found, 100)
    monkeypatch.setattr(recording, "_BATCH_BYTES", 512)
    assert outline_of(stream, found, 100) == whole
    assert min(whole.lanes[0][0]) == pytest.approx(samples.min() / 32768, abs=1e-4)
