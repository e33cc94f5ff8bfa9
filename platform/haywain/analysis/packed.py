"""msgpack: records after each other, all of one kind.

A record is a number, an array of numbers, a map of numbers by name, or what fluentd sends: `[time, map]`,
where time is a whole number of seconds or its EventTime (extension 0: seconds and nanoseconds, 32 bits each,
big-endian).  Arrays become rows of float64; maps become structured rows with a float64 a name, and the time
a datetime64[ns].  nil is NaN.  Sources: the specification, https://github.com/msgpack/msgpack/blob/master/spec.md;
EventTime, https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1.
"""

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from haywain.analysis.rows import (
    COLUMNS_MAX,
    Layout,
    ReadableFile,
    Rows,
    after,
    cuts_at,
    numbered,
    parse_dtype,
    place_of,
    read_at,
    unique,
)
from haywain.errors import InvalidError

RECORD_MAX = 1 << 20
"""Most bytes of one record."""

STEP_MAX = 8 << 20
"""Most bytes of a step: records are decoded one by one, which takes some seconds for so many."""

ROWS_AT_ONCE = 1024
"""Rows made an array in one call."""

SECONDS_MAX = 9e9
"""Seconds since 1970 that still count as a time, of those that fit a datetime64[ns]."""

PART_BYTES = 1 << 16
"""Bytes decoded between two looks at what else there is to do."""

READ_BYTES = 4 << 20
"""Bytes read at once to find where records end."""

_NUMBERS = frozenset({bool, int, float, type(None)})
_TIME_NAME = "time"


class EventTime(int):
    """fluentd's time, in nanoseconds since 1970 UTC."""


class NoTimeError(TypeError):
    """Where a time should stand there is something else."""


@dataclass(frozen=True)
class PackedReader:
    """Reads records that are alike: of one kind, with the same names or as many numbers."""

    layout: Layout
    kind: str
    keys: tuple[Any, ...]  # Any: msgpack's keys

    def step(self, file: ReadableFile, offset: int, limit: int, rows_before: int | None) -> tuple[Rows, int]:
        """Return the whole records in the next `limit` bytes; one cut at the end waits for its rest."""
        data = read_at(file, offset, min(max(limit, RECORD_MAX), STEP_MAX))
        found, taken = [self.layout.empty()], 0
        records: list[Any] = []  # Any: what msgpack holds
        places: list[int] = []
        for record, stop in unpacked(data, offset):
            records.append(record)
            places.append(offset + taken)
            taken = stop
            if len(records) == ROWS_AT_ONCE:
                found.append(self._rows(records, places, rows_before))
                rows_before = after(rows_before, len(records))
                records, places = [], []
        if not taken and len(data) >= RECORD_MAX:
            raise InvalidError(f"The record that begins at byte {offset} is longer than {RECORD_MAX} bytes")
        return np.concatenate([*found, self._rows(records, places, rows_before)]), offset + taken

    def cuts(self, file: ReadableFile, stop: int, step: int) -> Iterator[int]:
        """Yield where records begin; raises InvalidError, which names what is none."""
        data = (read_at(file, at, min(READ_BYTES, stop - at)) for at in range(0, stop, READ_BYTES))
        yield from cuts_at(record_ends(data, 0), stop, step)

    def _rows(self, records: list[Any], places: list[int], first: int | None) -> Rows:  # Any: as above
        """Return the rows of records; raises InvalidError, which names the first that is none."""
        try:
            return self._array(records)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            for number, record in enumerate(records):
                self._check(record, after(first, number), places[number])
            raise InvalidError(f"The records from byte {places[0]} on make no rows: {error}") from error

    def _array(self, records: list[Any]) -> Rows:  # Any: as above
        """Return the rows of records; raises what Python and NumPy raise for those that differ."""
        rows = [self._values(record) for record in records]
        found = np.empty((len(rows), *self.layout.row_shape), self.layout.dtype)
        names = self.layout.dtype.names
        for number, column in enumerate(zip(*rows, strict=True)):
            target = found[:, number] if names is None else found[names[number]]
            if number == 0 and self.kind == "event":
                target[:] = np.array([_nanoseconds(time) for time in column], np.int64).view("<M8[ns]")
            else:
                with np.errstate(over="raise"):  # 1e300 is no float32
                    target[:] = np.array(_numbers(column, target.dtype), target.dtype)
        return found

    def _values(self, record: Any) -> list[Any]:  # Any: as above
        """Return the values of a record in the order of the first's keys."""
        if self.kind in ("event", "a map"):
            time, named = ([], record) if self.kind == "a map" else (record[:-1], record[-1])
            if len(time) > 1 or type(named) is not dict or len(named) != len(self.keys):
                raise TypeError
            return [*time, *[named[key] for key in self.keys]]
        values = record if self.kind == "an array" else [record]
        if type(values) is not list or len(values) != len(self.keys):
            raise TypeError
        return values

    def _check(self, record: Any, number: int | None, at: int) -> None:  # Any: as above
        """Raise InvalidError if a record is not like the first."""
        where = place_of("Record", number, at)
        kind, keys = shape_of(record)
        if kind != self.kind or (keys != self.keys and set(keys) != set(self.keys)):
            first = _told(self.kind, self.keys)
            raise InvalidError(f"{where}, is {_told(kind, keys)}, but the first is {first}")
        for place, (name, value) in enumerate(zip(self.layout.names, self._values(record), strict=True)):
            is_time = self.kind == "event" and place == 0
            if type(value) not in (_NUMBERS | {EventTime} if is_time else _NUMBERS):
                raise InvalidError(f"{where}: {value!r:.40} in {name!r} is no number")
        try:
            self._array([record])
        except NoTimeError as error:
            raise InvalidError(f"{where}: {error}") from error
        except (ArithmeticError, TypeError, ValueError) as error:
            raise InvalidError(f"{where}, does not fit into {self.layout.dtype}: {error}") from error


def open_packed(file: ReadableFile, dtype: str = "") -> PackedReader:
    """Return a reader for records like the first; raises InvalidError if there is none.

    `dtype` replaces the float64 of each number.
    """
    record, stop = next(unpacked(read_at(file, 0, RECORD_MAX), 0), (None, 0))
    if not stop:
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


def _numbers(column: tuple[Any, ...], dtype: np.dtype[Any]) -> Sequence[Any]:  # Any: as above
    """Return a column, nil as NaN; raises TypeError for no number, ValueError for half an integer."""
    kinds = set(map(type, column))
    if not kinds <= _NUMBERS:
        raise TypeError
    if dtype.kind in "iu" and float in kinds:
        fraction = next((value for value in column if type(value) is float and not value.is_integer()), None)
        if fraction is not None:
            raise ValueError(f"{fraction!r} is no {dtype}")
    return [math.nan if value is None else value for value in column] if type(None) in kinds else column


def _nanoseconds(time: Any) -> int:  # Any: as above
    """Return a time of fluentd in nanoseconds; raises TypeError for what is none."""
    if type(time) is EventTime:
        return int(time)
    if type(time) in (int, float) and abs(time) < SECONDS_MAX:
        found: int = round(time * 10**9)
        return found
    raise NoTimeError(f"{time!r:.40} is no time in seconds")


def unpacked(data: bytes, at: int, event_time: Callable[[int], Any] = EventTime) -> Iterator[tuple[Any, int]]:
    """Yield each whole record of bytes that lie at an offset, with its end in them.

    `event_time` makes fluentd's time of nanoseconds since 1970 UTC.  Raises InvalidError for what is no
    msgpack, which names its offset.
    """

    def extension(code: int, data: bytes) -> Any:  # Any: as above
        if code == 0 and len(data) == 8:
            seconds, nanoseconds = struct.unpack(">II", data)
            return event_time(seconds * 10**9 + nanoseconds)
        return msgpack.ExtType(code, data)

    unpacker = msgpack.Unpacker(strict_map_key=False, ext_hook=extension, max_buffer_size=0)
    stop = 0
    for position in range(0, len(data), PART_BYTES):
        unpacker.feed(data[position : position + PART_BYTES])
        try:
            for record in unpacker:
                stop = unpacker.tell()
                yield record, stop
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
            raise InvalidError(f"At byte {at + stop} begins no record of msgpack") from error


def record_ends(data: Iterable[bytes], at: int) -> Iterator[int]:
    """Yield where each record of bytes that lie at an offset ends, without making anything of them.

    Raises InvalidError for what is no msgpack, which names its offset.
    """
    unpacker, end = msgpack.Unpacker(max_buffer_size=0), at
    for piece in data:
        for position in range(0, len(piece), PART_BYTES):
            unpacker.feed(piece[position : position + PART_BYTES])
            while True:
                try:
                    unpacker.skip()
                except msgpack.OutOfData:
                    break
                except (ValueError, RecursionError, msgpack.UnpackException) as error:
                    raise InvalidError(f"At byte {end} begins no record of msgpack") from error
                end = at + unpacker.tell()
                yield end


def _told(kind: str, keys: tuple[Any, ...]) -> str:  # Any: as above
    if kind == "event":
        return f"[time, a map of {', '.join(map(str, keys))}]"[:200]
    if kind == "a map":
        return f"a map of {', '.join(map(str, keys))}"[:200]
    return f"{kind} of {len(keys)}" if kind == "an array" else kind
