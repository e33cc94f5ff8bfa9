"""A stream is a file to those who know files: `wave`, `zipfile`, `scipy`, `csv`, `shutil`."""

import csv
import io
import os
import wave
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
from hypothesis import given
from hypothesis import strategies as st
from transaction import TransactionManager

from haywain.store.database import PortalConnection
from haywain.store.reader import StreamReader
from haywain.store.stream import Stream

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]


pytestmark = pytest.mark.storages()


@pytest.fixture(params=["records", "segment"])
def stored(request: pytest.FixtureRequest, small: None, begin: Begin) -> Callable[[bytes], Stream]:
    """Call it with bytes for a stream of them, in Records and in Segments."""
    connection, manager = begin()

    def stored(data: bytes) -> Stream:
        stream = Stream()
        connection.root()["stream"] = stream
        connection.add(stream)
        stream.append(data)
        if request.param == "segment":
            stream.close_tail()
            for start in stream.unsealed():
                stream.seal(start)
        manager.commit()
        manager.begin()
        return stream

    return stored


Stored = Callable[[bytes], Stream]


def sound(seconds: float = 0.01) -> bytes:
    file = io.BytesIO()
    samples = (np.sin(np.arange(int(48_000 * seconds)) / 5) * 30_000).astype("<i2")
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48_000)
        out.writeframes(samples.tobytes())
    return file.getvalue()


def test_wave_opens_a_stream(stored: Stored) -> None:
    with wave.open(stored(sound()).open()) as found, wave.open(io.BytesIO(sound())) as expected:
        assert found.getparams() == expected.getparams()
        assert found.readframes(10_000) == expected.readframes(10_000)


def test_scipy_reads_a_stream_as_it_reads_the_file(stored: Stored, tmp_path: Path) -> None:
    (tmp_path / "sound.wav").write_bytes(sound())
    expected = scipy.io.wavfile.read(tmp_path / "sound.wav")
    found = scipy.io.wavfile.read(stored(sound()).open())
    assert found[0] == expected[0] == 48_000
    assert np.array_equal(found[1], expected[1])


def test_zipfile_opens_a_stream(stored: Stored) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"a" * 1000)
        archive.writestr("folder/b.txt", b"b")
    with zipfile.ZipFile(stored(file.getvalue()).open()) as found:
        assert found.testzip() is None
        assert found.namelist() == ["a.txt", "folder/b.txt"]
        assert found.read("a.txt") == b"a" * 1000


@pytest.mark.parametrize("data", [b"", b"short", b"x" * 500])
def test_zipfile_says_what_is_no_archive(stored: Stored, data: bytes) -> None:
    assert not zipfile.is_zipfile(stored(data).open())


def test_lines_and_tables_are_read_as_text(stored: Stored) -> None:
    data = "".join(f"{n},{n * n},grün\r\n" for n in range(100)).encode()
    assert stored(data).open().readlines() == io.BytesIO(data).readlines()
    with io.TextIOWrapper(stored(data).open(), encoding="utf-8", newline="") as text:
        assert list(csv.reader(text))[99] == ["99", "9801", "grün"]


def test_numpy_reads_from_a_stream(stored: Stored) -> None:
    file = io.BytesIO()
    np.save(file, np.arange(100.0))
    assert np.array_equal(np.load(stored(file.getvalue()).open()), np.arange(100.0))


operations = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 90)),
    st.tuples(st.just("read1"), st.integers(0, 90)),
    st.tuples(st.just("readline"), st.integers(-1, 30)),
    st.tuples(st.just("peek"), st.just(0)),
    st.tuples(st.just("seek"), st.integers(0, 250)),
    st.tuples(st.just("back"), st.integers(-20, 20)),
    st.tuples(st.just("end"), st.integers(-250, 20)),
)


class Bytes:
    """Bytes in chunks of three; not a stream, but all that a StreamReader asks of one."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        view = memoryview(self.data)[start:stop]
        return (view[n : n + 3] for n in range(0, len(view), 3))


@given(st.binary(max_size=200), st.lists(operations, max_size=20), st.sampled_from([1, 7, 64]))
def test_it_behaves_as_a_file_does(data: bytes, steps: list[tuple[str, int]], buffer: int) -> None:
    found = io.BufferedReader(StreamReader(Bytes(data)), buffer)
    expected = io.BytesIO(data)
    for name, number in steps:
        if name == "peek":
            assert data[expected.tell() :].startswith(found.peek())
        elif name == "read1":
            piece = found.read1(number)
            assert piece == expected.read(len(piece))
        elif name in ("read", "readline"):
            assert getattr(found, name)(number) == getattr(expected, name)(number)
        else:
            whence = {"seek": os.SEEK_SET, "back": os.SEEK_CUR, "end": os.SEEK_END}[name]
            base = {"seek": 0, "back": expected.tell(), "end": len(data)}[name]
            if base + number >= 0:
                assert found.seek(number, whence) == expected.seek(base + number)
        assert found.tell() == expected.tell()


def test_a_place_before_the_start_is_an_error_of_files() -> None:
    reader = StreamReader(Bytes(b"abc"))
    with pytest.raises(OSError, match="position -1"):
        reader.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        reader.seek(0, 7)
    assert reader.tell() == 0


def test_it_reads_what_was_there_when_it_was_opened(stored: Stored) -> None:
    stream = stored(b"then")
    file = stream.open()
    stream.append(b" and now")
    assert file.read() == b"then"
    assert file.seek(0, os.SEEK_END) == 4


def test_it_can_only_be_read(stored: Stored) -> None:
    file = stored(b"x").open()
    assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read()
