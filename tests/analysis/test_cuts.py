"""Cuts: whatever the step, the parts of a source hold what the source does, each record once."""

import csv
import io
import struct
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.analysis.delimited import open_delimited
from haywain.analysis.packed import open_packed
from haywain.analysis.raw import open_raw
from haywain.analysis.records import RecordReader
from haywain.analysis.rows import RowReader, pieces_of
from haywain.analysis.wav import open_wav
from haywain.errors import InvalidError

NUMBERS = np.arange(300, dtype="<i2")


def wav(samples: Any, channels: int = 2) -> bytes:
    data = samples.tobytes()
    form = struct.pack("<HHIIHH", 1, channels, 8000, 16000 * channels, 2 * channels, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def text(rows: Any) -> bytes:
    return b"".join(b"%d,%d\n" % (a, b) for a, b in rows)


def reader_of(name: str) -> tuple[RowReader, io.BytesIO]:
    pairs = NUMBERS.reshape(-1, 2)
    if name == "raw":
        file = io.BytesIO(NUMBERS.tobytes() + b"x")
        return open_raw("<i2", (3,)), file
    if name == "wav":
        file = io.BytesIO(wav(NUMBERS) + wav(NUMBERS[:40]) + wav(NUMBERS[::-1]))
        return open_wav(file), file
    if name == "msgpack":
        file = io.BytesIO(b"".join(msgpack.packb({"a": int(a), "b": int(b)}) for a, b in pairs) + b"\x82")
        return open_packed(file), file
    head = {"csv": b"", "csv with header": b"# a comment\nleft,right\n"}[name]
    file = io.BytesIO(head + text(pairs) + b"7,8")
    return open_delimited(file), file


def parts(reader: RowReader, file: io.BytesIO, step: int) -> list[Any]:
    size = len(file.getvalue())
    ends = list(reader.cuts(file, size, step))
    assert ends == sorted(set(ends)) and ends[-1] == size
    spans = zip([0, *ends], ends, strict=False)
    return [rows for start, stop in spans for rows, _ in pieces_of(reader, file, start, stop, 64)]


@pytest.mark.parametrize("name", ["raw", "wav", "msgpack", "csv", "csv with header"])
@given(step=st.integers(1, 2500))
def test_parts_have_the_rows_of_the_whole(name: str, step: int) -> None:
    reader, file = reader_of(name)
    whole = parts(reader, file, 1 << 30)
    assert len(np.concatenate(whole)) in (100, 150 + 20 + 150, 150, 151)
    np.testing.assert_array_equal(np.concatenate(parts(reader, file, step)), np.concatenate(whole))


def test_parts_are_about_as_long_as_asked_for() -> None:
    reader, file = reader_of("csv")
    ends = [0, *reader.cuts(file, len(file.getvalue()), 100)]
    assert all(100 <= length < 110 for length in np.diff(ends)[:-1])


def test_bad_row_of_a_part_is_told_by_its_byte() -> None:
    file = io.BytesIO(b"1,2\n3,4\n5,x\n")
    with pytest.raises(InvalidError, match=r"^The row that begins at byte 8 in line 3: 'x'"):
        list(pieces_of(open_delimited(file), file, 4, 12, 100))


ROWS = st.lists(
    st.lists(st.text(st.sampled_from('a",\n é'), max_size=6), min_size=2, max_size=2), max_size=40
)


@given(rows=ROWS, step=st.integers(1, 200))
def test_records_of_csv_are_cut_outside_of_quotes(rows: list[list[str]], step: int) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    check_records("csv", out.getvalue().encode(), step)


@pytest.mark.parametrize("format", ["lines", "ndjson", "msgpack"])
@given(values=st.lists(st.text(max_size=20) | st.integers(0, 9), max_size=40), step=st.integers(1, 200))
def test_records_are_whole(format: str, values: list[Any], step: int) -> None:
    if format == "msgpack":
        check_records(format, b"".join(map(msgpack.packb, values)), step)
    else:
        check_records(
            format, b"".join(repr(str(v)).encode() + b"\n" for v in values).replace(b"'", b'"'), step
        )


def check_records(format: str, data: bytes, step: int) -> None:
    reader = RecordReader(format)

    def read(start: int, stop: int) -> bytes:
        return data[start:stop]

    try:
        whole = list(reader.records(read, 0, len(data)))
    except InvalidError:
        return
    ends = list(reader.cuts(read, 0, len(data), step))
    assert ends == sorted(ends) and ends[-1] == len(data)
    spans = zip([0, *ends], ends, strict=False)
    assert [record for start, stop in spans for record in reader.records(read, start, stop)] == whole


def test_what_is_no_msgpack_is_told() -> None:
    data = msgpack.packb(1) + b"\xc1"
    with pytest.raises(InvalidError, match="At byte 1 begins no record"):
        list(RecordReader("msgpack").cuts(lambda start, stop: data[start:stop], 0, 2, 1))
