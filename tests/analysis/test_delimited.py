"""Delimited text: any step gives the rows of numpy, and a bad line is named by row and byte."""

import io

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from haywain.analysis import delimited
from haywain.analysis.delimited import DelimitedReader, open_delimited
from haywain.analysis.rows import Layout
from haywain.errors import InvalidError


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 256)
    monkeypatch.setattr(delimited, "PART_CHARACTERS", 64)


def steps(reader: DelimitedReader, data: bytes, offset: int = 0) -> tuple[np.ndarray, int]:
    file, found = io.BytesIO(data), [reader.layout.empty()]
    while True:
        rows, after = reader.step(file, offset, 1, sum(map(len, found)))
        if after == max(offset, reader.start) and not len(rows):
            return np.concatenate(found), after
        found.append(rows)
        offset = after


def read(text: str, **options: object) -> np.ndarray:
    data = text.encode()
    return steps(open_delimited(io.BytesIO(data), **options), data)[0]


def test_numbers_are_those_of_numpy() -> None:
    expected = np.random.default_rng(1).normal(size=(300, 3))
    text = io.BytesIO()
    np.savetxt(text, expected, delimiter=",", fmt="%.17g")
    reader = open_delimited(text)
    found, offset = steps(reader, text.getvalue())
    assert np.array_equal(found, expected) and offset == len(text.getvalue())
    assert reader.layout.names == ("column 1", "column 2", "column 3")


@pytest.mark.parametrize(
    "delimiter", [",", ";", "\t", "|", " "], ids=["comma", "semicolon", "tab", "bar", "space"]
)
def test_delimiter_and_header_are_found(delimiter: str) -> None:
    data = f"time{delimiter}speed\n1{delimiter}2\n3{delimiter}4\n".encode()
    reader = open_delimited(io.BytesIO(data))
    assert (reader.delimiter, reader.layout.names) == (delimiter, ("time", "speed"))
    assert steps(reader, data)[0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "text",
    ["1,2\r\n3,4\r\n", "1,2\n3,4", "\n# told\n1,2\n\n3,4\n", '"1","2"\n"3","4"\n', "\ufeff1,2\n3,4\n"],
    ids=["crlf", "no-newline", "comment", "quotes", "bom"],
)
def test_forms_of_text_are_understood(text: str) -> None:
    assert read(text).tolist() == [[1, 2], [3, 4]]


def test_one_column_is_a_column() -> None:
    assert read("x\n1\n2\n").tolist() == [[1], [2]]


def test_empty_field_is_nan() -> None:
    assert np.array_equal(read("a,b\n1,\n,2\n"), [[1, np.nan], [np.nan, 2]], equal_nan=True)


def test_times_make_rows_structured() -> None:
    found = read("when,value\n2026-01-02T03:04:05.5,1\n2026-01-02 03:04:06,2\n")
    assert found.dtype.names == ("when", "value") and found.dtype["when"] == np.dtype("M8[us]")
    assert found["when"][0] == np.datetime64("2026-01-02T03:04:05.5") and found["value"].tolist() == [1, 2]


def test_dtype_may_be_given() -> None:
    assert read("1,2\n3,4\n", dtype="<i2").dtype == np.dtype("<i2")
    found = read("n,x\n1,2.5\n", dtype="i8,f4")
    assert found.dtype == np.dtype([("n", "i8"), ("x", "f4")]) and found.tolist() == [(1, 2.5)]


def test_grown_text_goes_on_after_a_line_without_newline() -> None:
    first = b"1,2\n3,4"
    reader = open_delimited(io.BytesIO(first))
    _, offset = steps(reader, first)
    assert steps(reader, first + b"\r\n5,6\n", offset)[0].tolist() == [[5, 6]]
    with pytest.raises(InvalidError, match="up to byte 7, and now it goes on"):
        steps(reader, first + b"5\n5,6\n", offset)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,b\n1,2\n" + "3,4\n" * 99 + "5\n",
            "Row 100 .from 0., which begins at byte 404 in line 102, has 1 field, not 2",
        ),
        ("1,2\n3,4,5\n", "Row 1 .from 0., which begins at byte 4 in line 2, has 3 fields, not 2"),
        ("a,b\n1,2\n\n3,x\n", "Row 1 .* at byte 9 in line 4: 'x' in the column 'b' is no float64"),
        ("1,2\n3,\udcff\n", "Byte 6 is no UTF-8: if this is a text, save it as UTF-8"),
        ("1,2\n" + "3" * 300, "line that begins at byte 4 is longer than 256 bytes"),
        ("3" * 300, "line that begins at byte 0 is longer than 256 bytes"),
        ("a,b\n", "There is no row behind the header"),
        ("\n\n", "There is no line"),
        ("", "There is no line"),
    ],
    ids=["ragged", "ragged-more", "word", "latin", "long-line", "no-lines", "header", "blank", "empty"],
)
def test_bad_line_is_named(text: str, message: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    with pytest.raises(InvalidError, match=message):
        steps(open_delimited(io.BytesIO(data)), data)


@pytest.mark.parametrize("dtype", ["O", "V0", "nonsense", "f8,f8,f8"], ids=str)
def test_dtype_that_makes_no_sense_is_refused(dtype: str) -> None:
    with pytest.raises(InvalidError, match="dtype: "):
        read("1,2\n", dtype=dtype)


def test_field_that_holds_another_delimiter_asks_for_it() -> None:
    with pytest.raises(InvalidError, match=r"'3;4' .* fields were split at ',': is delimiter another\?"):
        read("a;b\n3;4\n", delimiter=",")
    with pytest.raises(InvalidError, match=r"'3,4' .* fields were split at 'tab'"):
        read("1\n3,4\n", delimiter="\t")


def test_line_is_counted_over_all_that_was_read_before() -> None:
    data = b"# a remark\n" + b"1,2\n" * 1000 + b"5\n"
    with pytest.raises(InvalidError, match=r"Row 1000 .* in line 1002, has 1 field"):
        steps(open_delimited(io.BytesIO(data)), data)


def test_integers_out_of_range_are_named() -> None:
    with pytest.raises(InvalidError, match=r"Row 1 .*'300' in the column 'column 1' is no uint8"):
        read("1\n300\n", dtype="u1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n"1\n2",3\n', "The line that begins at byte 4, has no fields: "),
        ('"a\nb",c\n1,2\n', "The line that begins at byte 0, has no fields: "),
        ("1,2\r3,4\r", "The line that begins at byte 0, has no fields: "),
        ("a,b\n1,2\n1,2\r3,4\r", "Row 1 .from 0., which begins at byte 8, has no fields: "),
        ("t,v\n2024-01-01,1\n1700000000,2\n", "Row 1 .* byte 17 in line 3: '1700000000' in the column"),
        (
            "t,v\n2024-01-01,1\n2024,2\n",
            "Row 1 .* byte 17 in line 3: '2024' in the column 't' is no datetime64",
        ),
        ("a\n1\n1_000\n", "Row 1 .from 0., which begins at byte 4 in line 3: '1_000' in the column 'a'"),
        ("1.5,N/A\n", "Row 0 .from 0., which begins at byte 0 in line 1: 'N/A' in the column 'column 2'"),
    ],
    ids=["quoted", "quoted-header", "old-mac", "old-mac-row", "seconds", "year", "underscore", "no-header"],
)
def test_field_that_would_become_a_wrong_number_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        read(text)


def test_field_longer_than_the_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 1 << 20)
    with pytest.raises(InvalidError, match=r"byte 4, has no fields: field larger than field limit"):
        read("1,2\n3," + "4" * 200_000 + "\n")


def test_text_beside_an_empty_field_is_as_it_is() -> None:
    found = read('n,v\nab,1\n"say ""hi""",2\n,3\nx,\n y ,5\n', dtype="U10,f8")
    assert found["n"].tolist() == ["ab", 'say "hi"', "", "x", " y "]
    assert np.array_equal(found["v"], [1, 2, 3, np.nan, 5], equal_nan=True)


def test_header_may_have_an_empty_name() -> None:
    assert open_delimited(io.BytesIO(b",a\n1,2\n")).layout.names == ("column 1", "a")


@pytest.mark.parametrize("dtype", ["V8,f8", "(2,)f8,f8", "M8,f8"], ids=str)
def test_dtype_that_no_text_is_of_is_refused(dtype: str) -> None:
    with pytest.raises(InvalidError, match="dtype: no field is"):
        read("1,2\n", dtype=dtype)


FIELDS = st.one_of(
    st.integers().map(str),
    st.floats(width=32).map(repr),
    st.datetimes().map(str),
    st.text("0123456789.eE+-_ \t\r\x00\x0b\x1c\x85\u0663#infa", max_size=4),
)


@given(
    rows=st.lists(st.lists(FIELDS, min_size=1, max_size=3), min_size=1, max_size=3),
    delimiter=st.sampled_from([",", ";", "\t", "|", " "]),
    dtype=st.sampled_from(["f8", "f4", "i8", "u1", "M8[us]", "M8[Y]"]),
)
@settings(max_examples=500)
def test_shortcut_for_plain_lines_gives_what_each_field_for_itself_means(
    rows: list[list[str]], delimiter: str, dtype: str
) -> None:
    """Or raises, and then each field for itself is asked."""
    names = tuple("abc"[: len(rows[0])])
    reader = DelimitedReader(Layout(np.dtype(dtype), (len(names),), names), delimiter, 0)
    lines = [line for line in map(delimiter.join, rows) if line.strip() and line[0] != "#"]
    assume(lines and reader._are_plain(lines))
    try:
        quick = reader._load(lines)
    except (ValueError, OverflowError):
        return
    assert np.array_equal(quick, reader._rows(lines), equal_nan=True)
