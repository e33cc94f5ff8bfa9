"""Arrays as bytes: what is sent is what NumPy, json, csv and Arrow read."""

import csv
import io
import json
from typing import Any

import nanoarrow
import numpy as np
import pytest
from nanoarrow.ipc import InputStream

from haywain.errors import InvalidError, TooLargeError
from haywain.web import formats
from haywain.web.formats import FORMATS, check_size, dtype_text, format_named

RECORD = np.dtype([("n", ">i2"), ("v", "<f8"), ("t", "M8[s]"), ("b", "?")])
RECORDS = np.array([(1, 2.5, "2026-01-01", True), (-2, np.nan, "NaT", False)], RECORD)


def sent(name: str, array: np.ndarray[Any, Any], columns: tuple[str, ...] = ()) -> bytes:
    return b"".join(format_named(name).encode(array, columns))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=">f4").reshape(4, 3),
        np.arange(24).reshape(2, 3, 4)[:, ::-2],
        np.array(7.5),
        np.zeros((0, 2), "<i2"),
        RECORDS,
        np.array(["2026-01-01"], "M8[ns]"),
        np.zeros(3, [("\u6e29\u5ea6", "<f4"), ("\ud800", "<i2")]),
    ],
    ids=["big-endian", "strided", "scalar", "empty", "records", "moments", "names"],
)
def test_npy_and_raw_are_read_by_numpy(array: np.ndarray[Any, Any]) -> None:
    body = sent("npy", array)
    found = np.load(io.BytesIO(body), allow_pickle=False)
    assert found.dtype == array.dtype and found.shape == array.shape
    assert found.tobytes() == sent("raw", array) == array.tobytes()
    lengths = [format_named(name).length for name in ("npy", "raw")]
    assert [length(array) for length in lengths if length] == [len(body), array.nbytes]


@pytest.mark.parametrize("shape", [(100, 7), (3, 50, 7), (1, 1, 900), (901,)])
def test_pieces_are_small_and_together_the_whole(monkeypatch: pytest.MonkeyPatch, shape: Any) -> None:
    monkeypatch.setattr(formats, "PIECE_BYTES", 256)
    array = np.arange(np.prod(shape), dtype="<i4").reshape(shape)
    found = list(formats.pieces(array))
    assert b"".join(found) == array.tobytes()
    assert max(map(len, found)) <= 256


def test_json_has_null_where_there_is_no_number() -> None:
    assert json.loads(sent("json", np.array([[1.5, np.nan], [np.inf, -2]]))) == [[1.5, None], [None, -2]]
    assert json.loads(sent("json", RECORDS)) == [
        {"n": 1, "v": 2.5, "t": "2026-01-01T00:00:00", "b": True},
        {"n": -2, "v": None, "t": None, "b": False},
    ]
    assert json.loads(sent("json", np.array([1 + 2j]))) == [[1.0, 2.0]]
    assert json.loads(sent("json", np.array([b"ab\xff"]))) == ["ab\\xff"]


def test_texts_and_durations_are_sent_as_what_they_are() -> None:
    texts = np.array(["\ud800", "b"], "U3")
    assert json.loads(sent("json", texts)) == ["\\xed\\xa0\\x80", "b"]
    assert sent("csv", texts).splitlines() == [b"value", b"\\xed\\xa0\\x80", b"b"]
    assert json.loads(sent("json", np.array(["NaT", 5], "m8[s]"))) == [None, 5]


def test_size_of_empty_rows_records_and_long_texts_counts() -> None:
    for array in (
        np.broadcast_to(np.int8(0), (formats.MOST_VALUES + 1, 0)),
        np.broadcast_to(np.zeros((), [("x", "f8", (1000,)), ("y", "f8")]), (1000,)),
        np.broadcast_to(np.zeros((), "S4096"), (20_000,)),
    ):
        with pytest.raises(TooLargeError, match="ask for less, or npy"):
            check_size(format_named("json"), array)


def test_csv_has_the_names_of_the_columns() -> None:
    rows = list(csv.reader(io.StringIO(sent("csv", np.array([[1, 2], [3, 4]]), ("a, b", "c")).decode())))
    assert rows == [["a, b", "c"], ["1", "2"], ["3", "4"]]
    assert sent("csv", RECORDS).splitlines()[0] == b"n,v,t,b"
    assert sent("csv", np.arange(2), ("x",)) == b"x\n0\n1\n"


def test_arrow_has_types_names_and_nulls() -> None:
    with InputStream.from_readable(io.BytesIO(sent("arrow", RECORDS))) as stream:
        table = nanoarrow.ArrayStream(stream).read_all()
    found = table.to_pylist()
    assert [field.name for field in table.schema.fields] == ["n", "v", "t", "b"]
    assert [row["n"] for row in found] == [1, -2]
    assert found[0]["t"].isoformat() == "2026-01-01T00:00:00+00:00" and found[1]["t"] is None


def test_what_a_format_cannot_hold_is_said() -> None:
    with pytest.raises(InvalidError, match="two dimensions, the slice has 3"):
        sent("csv", np.zeros((1, 1, 1)))
    with pytest.raises(InvalidError, match="Arrow cannot hold the dtype complex128"):
        sent("arrow", np.zeros(1, complex))
    with pytest.raises(InvalidError, match="a field holds several values"):
        sent("arrow", np.zeros(2, [("x", "f4", (2,))]))
    with pytest.raises(InvalidError, match="no format 'xls'; use npy"):
        format_named("xls")
    for name in FORMATS:
        array = np.broadcast_to(np.int8(0), (formats.MOST_VALUES + 1,))
        if format_named(name).length is None:
            with pytest.raises(TooLargeError, match=r"1,000,001 values.*or npy"):
                check_size(format_named(name), array)
        else:
            check_size(format_named(name), array)


def test_dtype_can_be_read_back() -> None:
    assert np.dtype(dtype_text(np.dtype(">u2"))) == np.dtype(">u2")
    assert np.dtype([tuple(one) for one in json.loads(dtype_text(RECORD))]) == RECORD
