"""Arrays as bytes of an answer: npy, raw, JSON, CSV, Arrow.

npy and raw come in pieces of PIECE_BYTES, so that a slice may be larger than memory; the others, made for
programs without NumPy, hold at most MOST_VALUES values.
"""

import csv
import io
import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from haywain.errors import InvalidError, TooLargeError
from haywain.values import MIB

PIECE_BYTES = 4 * MIB
MOST_VALUES = 1_000_000
"""Values of a JSON, CSV or Arrow answer; an empty row counts as one, and a record as its fields."""

MOST_BYTES = 64 * MIB
"""Bytes of such an answer's values in memory: texts may be long."""

_ARROW_UNITS = [("s", 1), ("ms", 1), ("us", 1), ("ns", 1)]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Format:
    """A way to send an array: its media type, and what makes the bytes of an array with named columns.

    `length` tells their number beforehand, where that is possible; only then the array may be of any size.
    `check` raises InvalidError for an array of a shape or dtype that it cannot hold.
    """

    media_type: str
    encode: Callable[[Array, Sequence[str]], Iterator[bytes]]
    length: Callable[[Array], int] | None = None
    check: Callable[[Array], None] = lambda _array: None


def format_named(name: str) -> Format:
    """Return a format; raises InvalidError."""
    try:
        return _FORMATS[name]
    except KeyError:
        raise InvalidError(f"There is no format {name[:40]!r}; use {', '.join(_FORMATS)}") from None


def formats_for(array: Array) -> tuple[str, ...]:
    """Return the names of the formats that can hold an array."""
    return tuple(name for name, format in _FORMATS.items() if _holds(format, array))


def _holds(format: Format, array: Array) -> bool:
    try:
        check_size(format, array)
        format.check(array)
    except (InvalidError, TooLargeError):
        return False
    return True


def check_size(format: Format, array: Array) -> None:
    """Raise TooLargeError if an array has too many values for a format, or too many bytes of text."""
    if format.length is not None:
        return
    count = math.prod(max(length, 1) for length in array.shape) * _values_in(array.dtype)
    if count > MOST_VALUES:
        raise TooLargeError(
            f"The slice has {count:,} values, this format holds {MOST_VALUES:,}: ask for less, or npy"
        )
    if array.nbytes > MOST_BYTES:
        raise TooLargeError(
            f"The slice has {array.nbytes:,} bytes, this format holds {MOST_BYTES:,}: ask for less, or npy"
        )


def _values_in(dtype: np.dtype[Any]) -> int:
    """Return how many values one item has: a record those of all its fields."""
    if dtype.subdtype is not None:
        return math.prod(dtype.shape) * _values_in(dtype.base)
    return sum(_values_in(dtype[name]) for name in dtype.names) if dtype.names else 1


def dtype_text(dtype: np.dtype[Any]) -> str:
    """Return a dtype as a text that `numpy.dtype` understands, of a structured one as JSON.

    >>> dtype_text(np.dtype("<f4")), dtype_text(np.dtype([("x", "<i2")]))
    ('<f4', '[["x", "<i2"]]')
    """
    return dtype.str if dtype.names is None else json.dumps(dtype.descr)


def pieces(array: Array) -> Iterator[bytes]:
    """Yield the bytes of an array in C order, about PIECE_BYTES at a time."""
    if array.ndim == 0 or array.nbytes <= PIECE_BYTES:
        yield array.tobytes()
        return
    rows = max(1, PIECE_BYTES * len(array) // array.nbytes)
    for start in range(0, len(array), rows):
        piece = array[start : start + rows]
        if len(piece) == 1 and piece.ndim > 1 and piece.nbytes > PIECE_BYTES:
            yield from pieces(piece[0])
        else:
            yield piece.tobytes()


def _npy(array: Array, columns: Sequence[str]) -> Iterator[bytes]:
    """Yield the npy format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html."""
    yield npy_head(array)
    yield from pieces(array)


def npy_head(array: Array) -> bytes:
    """Return what stands before the bytes of an array in a npy file."""
    head = io.BytesIO()
    description = {
        "descr": np.lib.format.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": array.shape,
    }
    try:
        np.lib.format.write_array_header_2_0(head, description)
    except UnicodeEncodeError:  # a name outside of Latin-1: version 3.0 has UTF-8, and no function of its own
        text = repr(description).encode()
        padded = text.ljust(-(-(len(text) + 13) // 64) * 64 - 13) + b"\n"
        return np.lib.format.magic(3, 0) + struct.pack("<I", len(padded)) + padded
    return head.getvalue()


def _raw(array: Array, columns: Sequence[str]) -> Iterator[bytes]:
    yield from pieces(array)


def _json(array: Array, columns: Sequence[str]) -> Iterator[bytes]:
    yield json.dumps(plain(array)).encode()


def plain(array: Array, is_json: bool = True) -> Any:  # Any: JSON
    """Return an array as JSON has it: records are objects, moments ISO 8601, what is no number null.

    For people and for CSV, which have words for them, NaN, infinities and NaT stay what they are.

    >>> plain(np.array([1.5, np.nan])), plain(np.array([(1, b"a")], [("n", "i2"), ("s", "S2")]))
    ([1.5, None], [{'n': 1, 's': 'a'}])
    >>> plain(np.array([1.5, np.nan]), is_json=False), plain(np.array(["NaT"], "M8[s]"), is_json=False)
    ([1.5, nan], ['NaT'])
    """
    if array.dtype.names is not None:
        if array.ndim:
            return [plain(one, is_json) for one in array]
        return {name: plain(np.asarray(array[name]), is_json) for name in array.dtype.names}
    kind = array.dtype.kind
    if kind == "f":
        return _floats(array, is_json).tolist()
    if kind == "c":
        return np.stack([_floats(array.real, is_json), _floats(array.imag, is_json)], -1).tolist()
    if kind in "mM":
        return _moments(array, None if is_json else "NaT").tolist()
    if kind in "SUV":
        return np.frompyfunc(_text, 1, 1)(array).tolist() if array.ndim else _text(array[()])
    return array.tolist()


def _floats(array: Array, is_finite: bool) -> Array:
    found = array.astype(np.float64)
    return np.where(np.isfinite(array), found, None) if is_finite else found  # type: ignore[call-overload]


def _moments(array: Array, not_a_time: str | None) -> Array:
    array = array.astype(array.dtype.newbyteorder("="))  # NumPy knows no other order here
    texts = array.astype(np.int64) if array.dtype.kind == "m" else np.datetime_as_string(array)
    return np.where(np.isnat(array), np.array(not_a_time, object), texts)


def _text(value: Any) -> str:  # Any: bytes or a text of a NumPy scalar
    """Return a text that can be sent: half a character is escaped."""
    found = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value).rstrip(b"\0")
    return found.decode("utf-8", "backslashreplace")


def _csv(array: Array, columns: Sequence[str]) -> Iterator[bytes]:
    names, table = _table(array, columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*(plain(column, is_json=False) for column in table), strict=True))
    yield text.getvalue().encode()


def _arrow(array: Array, columns: Sequence[str]) -> Iterator[bytes]:
    """Yield an Arrow IPC stream: https://arrow.apache.org/docs/format/Columnar.html."""
    import nanoarrow
    from nanoarrow.ipc import StreamWriter

    _check_arrow(array)
    names, table = _table(array, columns)
    children = [_arrow_column(column) for column in table]
    schema = nanoarrow.struct(
        {name: nanoarrow.Schema(child.schema) for name, child in zip(names, children, strict=True)}
    )
    rows = len(table[0]) if table else 0
    batch = nanoarrow.c_array_from_buffers(schema, rows, [None], children=children)
    found = io.BytesIO()
    with StreamWriter.from_writable(found) as writer:
        writer.write_stream(nanoarrow.c_array_stream(batch))
    yield found.getvalue()


def _check_arrow(array: Array) -> None:
    _check_table(array)
    dtype = array.dtype
    for one in [dtype] if dtype.names is None else [dtype[name] for name in dtype.names]:
        if one.subdtype is not None:
            raise InvalidError(
                f"Arrow cannot hold the dtype {dtype}: a field holds several values; ask for npy"
            )
        is_moment = one.kind == "M" and np.datetime_data(one) in _ARROW_UNITS
        if not is_moment and (one.kind not in "biuf" or one.itemsize > 8):
            raise InvalidError(
                f"Arrow cannot hold the dtype {dtype}: {one} is neither a number nor a moment; ask for npy"
            )


def _arrow_column(column: Array) -> Any:  # Any: nanoarrow has no types
    """Return a column as Arrow: numbers as they are, moments as timestamps in UTC, NaT as null."""
    import nanoarrow

    column = np.ascontiguousarray(column, column.dtype.newbyteorder("="))
    if column.dtype.kind == "M":
        unit, _ = np.datetime_data(column.dtype)
        valid = np.packbits(~np.isnat(column), bitorder="little")
        return nanoarrow.c_array_from_buffers(
            nanoarrow.timestamp(unit, "UTC"), len(column), [valid, column.view(np.int64)]
        )
    if column.dtype.kind not in "biuf" or column.dtype.itemsize > 8:
        raise ValueError("it is neither a number nor a moment")
    if not len(column):  # nanoarrow takes an empty one for what has no type
        return nanoarrow.c_array([], nanoarrow.Schema(nanoarrow.c_array(np.zeros(1, column.dtype)).schema))
    return nanoarrow.c_array(column)


def _check_table(array: Array) -> None:
    if array.ndim > 2 or (array.ndim == 2 and array.dtype.names is not None):
        raise InvalidError(f"A table has two dimensions, the slice has {array.ndim}; pick one by the index")


def _table(array: Array, columns: Sequence[str]) -> tuple[list[str], list[Array]]:
    """Return an array as named columns; raises InvalidError for more than two dimensions."""
    _check_table(array)
    array = np.atleast_1d(array)
    if array.dtype.names is not None:
        return list(array.dtype.names), [array[name] for name in array.dtype.names]
    if array.ndim == 1:
        return [columns[0] if len(columns) == 1 else "value"], [array]
    count = array.shape[1]
    names = list(columns) if len(columns) == count else [str(number) for number in range(count)]
    return names, [array[:, number] for number in range(count)]


_FORMATS = {
    "npy": Format("application/x-npy", _npy, lambda array: len(npy_head(array)) + array.nbytes),
    "raw": Format("application/octet-stream", _raw, lambda array: array.nbytes),
    "json": Format("application/json", _json),
    "csv": Format("text/csv; charset=utf-8", _csv, check=_check_table),
    "arrow": Format("application/vnd.apache.arrow.stream", _arrow, check=_check_arrow),
}
FORMATS = tuple(_FORMATS)
"""The names of the formats."""
