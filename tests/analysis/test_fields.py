"""Fields: a quote never glues lines, and a field is a number or a time only if it looks like one."""

import csv

import numpy as np
import pytest

from haywain.analysis.fields import is_value, parse, sniff_delimiter, split, split_all


def test_quoted_fields_are_split() -> None:
    assert split('"a,b","say ""hi""",', ",") == ["a,b", 'say "hi"', ""]
    assert split_all(["1;2\r", '"3";4'], ";") == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize("lines", [['a,"b', 'c",d'], ['"a'], ['"a"b,c'], ["1,2\r3,4"], ["9" * 200_000]])
def test_line_whose_quotes_do_not_match_is_refused(lines: list[str]) -> None:
    with pytest.raises(csv.Error):
        split_all(lines, ",")


def test_delimiter_that_no_line_allows_is_not_taken() -> None:
    assert sniff_delimiter(['"a,b";2', '"c,d";3']) == ";"


@pytest.mark.parametrize(
    ("dtype", "fields"),
    [
        ("f8", "1_000"),
        ("f8", "٣"),
        ("f8", "True"),
        ("f8", "1\x002"),
        ("i4", ""),
        ("i4", "2.0"),
        ("u1", "300"),
        ("M8[us]", "1700000000"),
        ("M8[us]", "2024"),
        ("M8[us]", "now"),
        ("M8[us]", "2024-13-01"),
        ("M8[Y]", "20240101"),
        ("U2", "abc"),
        ("S2", "abc"),
        ("S2", "\u20ac"),
    ],
)
def test_field_that_is_no_value_is_refused(dtype: str, fields: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse([fields], np.dtype(dtype))


@pytest.mark.parametrize(
    ("dtype", "fields", "values"),
    [
        ("f8", [" 1.5 ", "", "inf"], [1.5, np.nan, np.inf]),
        ("i8", ["-1", " 2"], [-1, 2]),
        ("M8[us]", ["2024-01-02T03:04:05", "", "NaT", "2024-05"], None),
        ("M8[Y]", ["2024"], [np.datetime64("2024")]),
        ("m8[s]", ["5", ""], [np.timedelta64(5, "s"), np.timedelta64("NaT")]),
        ("?", ["1", "0"], [True, False]),
        ("U4", [" a b", ""], [" a b", ""]),
        ("S2", ["a\xe9"], [b"a\xe9"]),
    ],
)
def test_field_that_is_a_value_is_taken(dtype: str, fields: list[str], values: list[object] | None) -> None:
    found = parse(fields, np.dtype(dtype))
    expected = np.array(fields if values is None else values, dtype)
    if values is None:
        expected = np.array([field or "NaT" for field in fields], dtype)
    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found, expected, equal_nan=np.dtype(dtype).kind in "fmM")


@pytest.mark.parametrize(
    ("field", "found"), [("1", True), ("1_0", False), ("2024-01-02", True), ("N/A", False)]
)
def test_value_tells_a_row_from_a_header(field: str, found: bool) -> None:
    assert is_value(field) == found
