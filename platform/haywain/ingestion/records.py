"""The records of a body, by its content type, with limits: what a policy that decodes works on.

    msgpack             objects one after the other: events `[time, record]`, or records
    NDJSON              a record a line
    JSON                an array is its records, anything else is one
    CSV                 a record a row: a map by the header, a list where there is none
    octet-stream        what its first bytes tell: msgpack, NDJSON or CSV

The decoders are those that read streams (`haywain.analysis`).  `shape` looks first, so that a bomb is refused
before it is built: each of them within a second, in less memory than the body may take.
"""

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from haywain.analysis.packed import EventTime, unpacked
from haywain.analysis.records import RecordReader
from haywain.analysis.sniff import record_reader
from haywain.errors import InvalidError, TooLargeError
from haywain.ingestion.decoding import media_type
from haywain.ingestion.shape import check_json, check_msgpack, too_many
from haywain.interfaces import Chunk
from haywain.values import KIB, RecordLimits

_HEAD = 64 * KIB
_JSON = ("application/json", "text/json")
_ASCII_KEY = 4  # bytes of UTF-8 that a character takes at most
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?")

Value = Any
"""Any: what msgpack, JSON or CSV hold."""


class Record(NamedTuple):
    """A record, and the time of its event in nanoseconds since 1970 UTC where the sender told one."""

    value: Value
    time_ns: int | None = None


def records_of(chunk: Chunk) -> list[Record]:
    """Return the records of a chunk; raises InvalidError for what is none, TooLargeError beyond a limit."""
    format, delimiter = format_of(chunk)
    if format == "csv":
        return [Record(value) for value in _by_header(rows_of(chunk.body, delimiter, chunk.limits))]
    _check(chunk, format)
    if format == "msgpack":
        records = [event_of(value) for value, _ in _whole(chunk.body)]
    else:
        values = _document(chunk.body) if format == "json" else _lines(chunk.body)
        records = [Record(value) for value in values]
    check_keys((record.value for record in records), chunk.limits)
    return records


def pieces_of(chunk: Chunk) -> list[tuple[Value, bytes]]:
    """Return the records of a chunk of msgpack, NDJSON or JSON, each with the bytes that it is.

    Raises what `records_of` raises.
    """
    format = format_of(chunk)[0]
    _check(chunk, format)
    found: list[tuple[Value, bytes]]
    if format == "msgpack":
        found, start = [], 0
        for value, stop in _whole(chunk.body):
            found.append((event_of(value).value, chunk.body[start:stop]))
            start = stop
    elif format == "json":
        found = [(value, msgspec.json.encode(value)) for value in _document(chunk.body)]
    else:
        lines = [line + b"\n" for line in chunk.body.split(b"\n") if line.strip()]
        found = list(zip(_lines(chunk.body), lines, strict=True))
    check_keys((value for value, _ in found), chunk.limits)
    return found


def _check(chunk: Chunk, format: str) -> None:
    """Raise TooLargeError or InvalidError before anything is built."""
    if format == "msgpack":
        check_msgpack(chunk.body, chunk.limits)
        return
    if chunk.body.count(b"\n") > chunk.limits.elements:  # blank lines are no elements, but take time
        raise too_many(chunk.limits)
    check_json(chunk.body, chunk.limits)


def format_of(chunk: Chunk) -> tuple[str, str]:
    """Return msgpack, ndjson, json or csv, and the delimiter of the last; raises InvalidError.

    >>> format_of(Chunk("t", b'{"a": 1}', "application/octet-stream"))[0]
    'ndjson'
    """
    said = media_type(chunk.content_type)
    if said in _JSON or said.endswith("+json"):
        return "json", ""
    reader = record_reader(chunk.body[:_HEAD], said, "")
    if reader.format == "lines":
        raise InvalidError(
            f"{said or 'A body without Content-Type'} that begins with {chunk.body[:20]!r} has no records;"
            " send application/x-ndjson, application/json, application/msgpack or text/csv"
        )
    return reader.format, reader.delimiter


def event_of(value: Value) -> Record:
    """Return a record out of what msgpack holds: an event `[time, record]`, as fluentd sends it, or it."""
    if type(value) is list and len(value) == 2 and isinstance(value[1], dict):
        time = value[0]
        if isinstance(time, EventTime):
            return Record(value[1], int(time))
        if type(time) is int:
            return Record(value[1], time * 10**9)
        if type(time) is float and math.isfinite(time):
            return Record(value[1], round(time * 1e9))
    return Record(value)


def _whole(body: bytes) -> Iterator[tuple[Value, int]]:
    end = 0
    for value, end in unpacked(body, 0):
        yield value, end
    if end != len(body):
        raise InvalidError(f"The object of msgpack that begins at byte {end} is cut short")


def _document(body: bytes) -> list[Value]:
    try:
        found = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"The body is no JSON: {error}") from None
    return found if isinstance(found, list) else [found]


def _lines(body: bytes) -> list[Value]:
    """Return the JSON of each line; the last may lack its end."""
    whole = body if body.endswith(b"\n") else body + b"\n"
    records, end = [], 0
    while end < len(whole):  # an error in the middle is met by the next call
        found, end = RecordReader("ndjson").decode(lambda start, stop: whole[start:stop], end, len(whole))
        records += found
    return records


def rows_of(body: bytes, delimiter: str, limits: RecordLimits) -> list[list[str]]:
    """Return the rows of CSV; raises InvalidError for what is none, TooLargeError for too many fields."""
    if body.count(b"\n") + body.count(delimiter.encode()) > limits.elements:  # also those within quotes
        raise too_many(limits)
    whole = body if body.endswith(b"\n") else body + b"\n"
    reader, rows, end = RecordReader("csv", delimiter), [], 0
    while end < len(whole):
        found, after = reader.decode(lambda start, stop: whole[start:stop], end, len(whole))
        if after == end:
            raise InvalidError(f"The row that begins at byte {end} has a quote that does not end")
        end = after
        rows += found
    return rows


def has_header(rows: list[list[str]]) -> bool:
    """Return whether the first row names the columns: it has texts, no two alike, and no number.

    >>> has_header([["time", "speed"], ["1", "2"]]), has_header([["1", "2"]])
    (True, False)
    """
    names = [field.strip() for field in rows[0]] if rows else []
    return bool(names) and all(names) and len(set(names)) == len(names) and not any(map(is_number, names))


def is_number(text: str) -> bool:
    """Return whether a field is a number, as JSON writes it."""
    return _NUMBER.fullmatch(text) is not None


def _by_header(rows: list[list[str]]) -> Iterator[Value]:
    if not has_header(rows):
        yield from ([_typed(field) for field in row] for row in rows)
        return
    names = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise InvalidError(f"Row {number} has {len(row)} fields, the header {len(names)}")
        yield {name: _typed(field) for name, field in zip(names, row, strict=True)}


def _typed(field: str) -> Value:
    text = field.strip()
    if not text:
        return None
    return msgspec.json.decode(text) if is_number(text) else field


def check_keys(values: Iterable[Value], limits: RecordLimits) -> None:
    """Raise TooLargeError for a key of a map that is too long, InvalidError for one that is no text."""
    open_values = list(values)
    while open_values:
        value = open_values.pop()
        if type(value) is dict:
            for key in value:
                _check_key(key, limits)
            open_values += [one for one in value.values() if type(one) is dict or type(one) is list]
        elif type(value) is list:
            open_values += [one for one in value if type(one) is dict or type(one) is list]


def _check_key(key: Value, limits: RecordLimits) -> None:
    if type(key) is bytes:
        length = len(key)
    elif type(key) is str:
        length = (
            len(key) if len(key) * _ASCII_KEY <= limits.key_bytes else len(key.encode("utf-8", "replace"))
        )
    elif type(key) in (int, float, bool):
        return
    else:
        raise InvalidError(f"A key of a map is a {type(key).__name__}, which is no name")
    if length > limits.key_bytes:
        raise TooLargeError(f"A key of a record has {length} bytes, more than {limits.key_bytes}")
