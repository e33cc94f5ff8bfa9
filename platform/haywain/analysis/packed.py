"""msgpack: records after each other, all of one kind.

A record is a number, an array of numbers, a map of numbers by name, or what fluentd sends: `[time, map]`,
where time is a whole number of seconds or its EventTime (extension 0: seconds and nanoseconds, 32 bits each,
big-endian).  Arrays become rows of float64; maps become structured rows with a float64 a name, and the time
a datetime64[ns].  nil is NaN.  Sources: the specification, https://github.com/msgpack/msgpack/blob/master/spec.md;
EventTime, https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from haywain.analysis.rows import (
    COLUMNS_MAX,
    Layout,
    ReadableFile,
    Rows,
    numbered,
    parse_dtype,
    read_at,
    unique,
)
from haywain.errors import InvalidError

RECORD_MAX = 1 << 20
"""Most bytes of one record."""

ROWS_AT_ONCE = 4096
"""Rows made an array in one call."""

PART_BYTES = 1 << 18
"""Bytes decoded between two looks at what else there is to do."""

_NUMBERS = (bool, int, float, type(None))
_TIME_NAME = "time"


@dataclass(frozen=True)
class EventTime:
    """fluentd's time, in nanoseconds since 1970 UTC."""

    nanoseconds: int


@dataclass(frozen=True)
class PackedReader:
    """Reads records that are alike: of one kind, with the same names or as many numbers."""

    layout: Layout
    kind: str
    keys: tuple[Any, ...]  # Any: msgpack's keys

    def step(self, file: ReadableFile, offset: int, limit: int, rows_before: int) -> tuple[Rows, int]:
        """Return the whole records in the next `limit` bytes; one cut at the end waits for its rest."""
        data = read_at(file, offset, max(limit, RECORD_MAX))
        found, values, taken = [self.layout.empty()], [], 0
        places: list[int] = []
        for record, stop in _records(data, offset):
            values.append(self._row(record, rows_before + len(places), offset + taken))
            places.append(offset + taken)
            taken = stop
            if len(values) >= ROWS_AT_ONCE:
                found.append(self._rows(values, places, rows_before))
                values = []
        if not taken and len(data) >= RECORD_MAX:
            raise InvalidError(f"The record that begins at byte {offset} is longer than {RECORD_MAX} bytes")
        return np.concatenate([*found, self._rows(values, places, rows_before)]), offset + taken

    def _rows(self, values: list[tuple[Any, ...]], places: list[int], before: int) -> Rows:  # Any: numbers
        """Return an array of the numbers of the last of the records that begin at `places`."""
        try:
            return np.array(values, self.layout.dtype).reshape(len(values), *self.layout.row_shape)
        except (OverflowError, ValueError):
            for number, row in enumerate(values, start=len(places) - len(values)):
                self._check_fits(row, before + number, places[number])
            raise

    def _check_fits(self, row: tuple[Any, ...], number: int, at: int) -> None:  # Any: numbers
        try:
            np.array([row], self.layout.dtype)
        except (OverflowError, ValueError) as error:
            raise InvalidError(
                f"Record {number} (from 0), which begins at byte {at}, does not fit: {error}"
            ) from None

    def _row(self, record: Any, number: int, at: int) -> tuple[Any, ...]:  # Any: what msgpack holds
        """Return the numbers of a record; raises InvalidError for one that is not like the first."""
        kind, keys = shape_of(record)
        if kind != self.kind or (keys != self.keys and set(keys) != set(self.keys)):
            raise InvalidError(
                f"Record {number} (from 0), which begins at byte {at}, is {_told(kind, keys)},"
                f" but the first is {_told(self.kind, self.keys)}"
            )
        values = values_of(record, kind, self.keys)
        for name, value in zip(self.layout.names, values, strict=True):
            if type(value) not in _NUMBERS and type(value) is not np.datetime64:
                raise InvalidError(
                    f"Record {number} (from 0), which begins at byte {at}:"
                    f" {value!r:.40} in {name!r} is no number"
                )
        return tuple([math.nan if value is None else value for value in values])


def open_packed(file: ReadableFile, dtype: str = "") -> PackedReader:
    """Return a reader for records like the first; raises InvalidError if there is none.

    `dtype` replaces the float64 of each number.
    """
    record, _ = next(_records(read_at(file, 0, RECORD_MAX), 0), (None, 0))
    if record is None:
        raise InvalidError("There is no whole record at byte 0 to tell the columns by")
    kind, keys = shape_of(record)
    if not 0 < len(keys) <= COLUMNS_MAX or kind == "something else":
        raise InvalidError(f"Record 0, which begins at byte 0, is {_told(kind, keys)}, not numbers")
    number = parse_dtype(dtype or "<f8")
    if number.names is not None or number.kind not in "iuf":
        raise InvalidError(f"dtype: {dtype!r} is no kind of number for each value, such as <f4 or <i8")
    return PackedReader(_layout(kind, keys, number), kind, keys)


def _layout(kind: str, keys: tuple[Any, ...], number: np.dtype[Any]) -> Layout:
    if kind in ("a number", "an array"):
        return Layout(number, (len(keys),), numbered("column", len(keys)))
    names = unique([_TIME_NAME, *map(str, keys)] if kind == "event" else [str(key) for key in keys])
    fields = [(name, number) for name in names]
    if kind == "event":
        fields[0] = (_TIME_NAME, np.dtype("<M8[ns]"))
    return Layout(np.dtype(fields), (), names)


def shape_of(record: Any) -> tuple[str, tuple[Any, ...]]:  # Any: what msgpack holds
    """Return the kind of a record, and its names or positions."""
    if isinstance(record, dict):
        return "a map", tuple(record)
    if isinstance(record, list):
        if len(record) == 2 and isinstance(record[1], dict):
            return "event", tuple(record[1])
        return "an array", tuple(range(len(record)))
    return ("a number", (0,)) if type(record) in _NUMBERS else ("something else", ())


def values_of(record: Any, kind: str, keys: tuple[Any, ...]) -> list[Any]:  # Any: as above
    """Return the values of a record in the order of the first's keys; the time of an event as datetime64."""
    if kind == "a map":
        return [record[key] for key in keys]
    if kind == "event":
        return [_as_time(record[0]), *(record[1][key] for key in keys)]
    return record if kind == "an array" else [record]


def _as_time(time: Any) -> Any:  # Any: as above
    """Return a time of fluentd as datetime64[ns], and what is none unchanged."""
    if isinstance(time, EventTime):
        return np.datetime64(time.nanoseconds, "ns")
    if type(time) in (int, float) and abs(time) < 9e9:
        return np.datetime64(round(time * 10**9), "ns")
    return time


def _records(data: bytes, at: int) -> Iterator[tuple[Any, int]]:  # Any: as above
    """Yield each whole record with the position after it; raises InvalidError for what is no msgpack."""
    unpacker = msgpack.Unpacker(strict_map_key=False, ext_hook=_extension, max_buffer_size=0)
    stop = 0
    for position in range(0, len(data), PART_BYTES):
        unpacker.feed(data[position : position + PART_BYTES])
        try:
            for record in unpacker:
                stop = unpacker.tell()
                yield record, stop
        except (ValueError, msgpack.UnpackException) as error:
            raise InvalidError(
                f"Byte {at + stop} begins no msgpack: {error or type(error).__name__}"
            ) from error


def _extension(code: int, data: bytes) -> Any:  # Any: as above
    if code == 0 and len(data) == 8:
        seconds, nanoseconds = struct.unpack(">II", data)
        return EventTime(seconds * 10**9 + nanoseconds)
    return msgpack.ExtType(code, data)


def _told(kind: str, keys: tuple[Any, ...]) -> str:  # Any: as above
    if kind == "event":
        return f"[time, a map of {', '.join(map(str, keys))}]"[:200]
    if kind == "a map":
        return f"a map of {', '.join(map(str, keys))}"[:200]
    return f"{kind} of {len(keys)}" if kind == "an array" else kind
