"""Every format: bytes that make no sense are refused as such, by whatever reader, and by nothing else."""

import io
import struct
from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.analysis.test_wav import CASES, fmt, riff

from haywain.analysis.delimited import open_delimited
from haywain.analysis.packed import open_packed
from haywain.analysis.raw import open_raw
from haywain.analysis.rows import ReadableFile, RowReader
from haywain.analysis.wav import open_wav
from haywain.errors import InvalidError

Open = Callable[[ReadableFile], RowReader]

WIDE = (b"ds64", struct.pack("<QQQI", 80, 8, 2, 0))
WAVS = [
    *(whole[:200] for whole in CASES.values()),
    CASES["pcm16"] + CASES["pcm16"],
    riff(WIDE, (b"fmt ", fmt(1, 2, 2, 16)), (b"data", bytes(8)), magic=b"RF64"),
]
TEXTS = [
    b"t,v\n2024-01-01T00:00:00,1\n2024-01-02,2.5\n,\n",
    b'a;b\r\n"1";2\r\n;-3e5\r\n',
    b"# told\n1 2\n3 4",
    b"1\t2\t3\n4\t5\t6\n",
]
TIME = msgpack.ExtType(0, bytes(8))
PACKED = [
    b"".join(map(msgpack.packb, records))
    for records in ([1, None, 2.5], [[1, 2], [3, 4]], [{"a": 1}, {"a": 2}], [[TIME, {"a": 1}], [7, {"a": 2}]])
]

PUTS = st.binary(max_size=9) | st.just(b"\xff" * 8)
CUTS = st.tuples(st.integers(0, 250), st.integers(0, 8), PUTS)


def changed(wholes: list[bytes]) -> st.SearchStrategy[bytes]:
    """Draw bytes that were right before some of them were replaced."""

    def change(whole: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
        for at, size, put in cuts:
            whole = whole[:at] + put + whole[at + size :]
        return whole

    return st.builds(change, st.sampled_from(wholes), st.lists(CUTS, max_size=4)) | st.binary(max_size=60)


def read(open_reader: Open, data: bytes) -> None:
    """Read all there is, or find it refused."""
    file, offset, rows = io.BytesIO(data), 0, 0
    try:
        reader = open_reader(file)
        while True:
            found, after = reader.step(file, offset, 1 << 10, rows)
            assert found.dtype == reader.layout.dtype and found.shape[1:] == reader.layout.row_shape
            if after == offset:
                return
            assert after > offset
            offset, rows = after, rows + len(found)
    except InvalidError as error:
        assert str(error).strip(": ") == str(error)  # something is said


@given(data=changed(WAVS), accept_cut=st.booleans())
def test_wav_is_read_or_refused(data: bytes, accept_cut: bool) -> None:
    read(lambda file: open_wav(file, accept_cut), data)


@given(
    data=changed(TEXTS),
    delimiter=st.sampled_from(["", ",", " "]),
    dtype=st.sampled_from(["", "f4", "i2", "M8[s]", "U3", "S2,f8", "m8[s],c16", "?,M8[Y]", "f2,f4,f8"]),
)
def test_text_is_read_or_refused(data: bytes, delimiter: str, dtype: str) -> None:
    read(lambda file: open_delimited(file, delimiter, None, dtype), data)


@given(data=changed(PACKED), dtype=st.sampled_from(["", "f4", "i2", "u8"]))
def test_msgpack_is_read_or_refused(data: bytes, dtype: str) -> None:
    read(lambda file: open_packed(file, dtype), data)


@given(data=st.binary(max_size=60), row_shape=st.lists(st.integers(-1, 70_000), max_size=3))
def test_raw_bytes_are_read_or_refused(data: bytes, row_shape: list[int]) -> None:
    read(lambda file: open_raw("<i2", tuple(row_shape)), data)


@pytest.mark.parametrize("record", [{"a": 1}, [1], None], ids=repr)
def test_depth_without_end_is_refused(record: object) -> None:
    read(open_packed, b"\x91" * 100_000 + msgpack.packb(record))
    read(open_packed, msgpack.packb(record) + b"\x81\xa1a" * 100_000)
