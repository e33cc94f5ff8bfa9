"""Records as bytes again: lines of NDJSON, objects of msgpack, lines of CSV."""

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgpack
import msgspec

from haywain.analysis.packed import EventTime
from haywain.errors import InvalidError
from haywain.ingestion.records import Record, Value

TIME = "time"
"""The name under which the time of an event stands in its record; `event_time` where that is taken."""


def json_lines(records: Iterable[Record]) -> bytes:
    r"""Return a line of JSON for each record; bytes are base64, NaN is null.

    >>> json_lines([Record({"speed": 7.5}, 1_700_000_000_500_000_000)])
    b'{"time":"2023-11-14T22:13:20.500000000Z","speed":7.5}\n'
    """
    encoder = msgspec.json.Encoder(enc_hook=_plain)
    with _only_whole_characters():
        return b"".join(encoder.encode(_plain_keys(with_time(record))) + b"\n" for record in records)


@contextmanager
def _only_whole_characters() -> Iterator[None]:
    r"""Raise InvalidError for half a character, which JSON may hold as "\ud800"."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidError(f"A text holds half a character: {error.object[:20]!r}") from None


def with_time(record: Record) -> Value:
    """Return a record with the time of its event in it, where it has one and is a map."""
    if record.time_ns is None or not isinstance(record.value, dict):
        return record.value
    name = TIME
    while name in record.value:
        name = f"event_{name}"
    return {name: iso_ns(record.time_ns), **record.value}


def iso_ns(time_ns: int) -> str:
    """Return nanoseconds since 1970 UTC as ISO 8601, without a fraction where there is none.

    >>> iso_ns(0), iso_ns(1_500_000_000)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500000000Z')
    """
    seconds, rest = divmod(time_ns, 10**9)
    try:
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (OverflowError, ValueError, OSError):
        raise InvalidError(f"{seconds} is no time: it lies beyond the year 9999") from None
    return f"{text}.{rest:09d}Z" if rest else f"{text}Z"


def _plain(value: Any) -> Any:  # Any: what msgpack knows and JSON does not
    if isinstance(value, EventTime):
        return iso_ns(int(value))
    if isinstance(value, msgpack.Timestamp):
        return iso_ns(value.to_unix_nano())
    raise InvalidError(f"A {type(value).__name__} cannot be written as JSON")


def _plain_keys(value: Value) -> Value:
    """Return a map with texts for its keys; msgpack may have others."""
    if isinstance(value, EventTime):
        return iso_ns(int(value))
    if isinstance(value, dict):
        return {_key(key): _plain_keys(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain_keys(one) for one in value]
    return value


def _key(key: Any) -> str:  # Any: as above
    return key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else str(key)


def packed_objects(records: Iterable[Record]) -> bytes:
    """Return records as msgpack one after the other, those with a time as `[EventTime, record]`."""
    packer = msgpack.Packer(default=_packable)
    with _only_whole_characters():
        return b"".join(packer.pack(_event(record)) for record in records)


def _event(record: Record) -> Value:
    if record.time_ns is None:
        return record.value
    return [event_time(record.time_ns), record.value]


def event_time(time_ns: int) -> msgpack.ExtType:
    """Return fluentd's EventTime: extension 0 of seconds and nanoseconds; raises InvalidError beyond 2106."""
    seconds, rest = divmod(time_ns, 10**9)
    if not 0 <= seconds < 1 << 32:
        raise InvalidError(f"{seconds} is no time that fluentd's EventTime can say")
    return msgpack.ExtType(0, seconds.to_bytes(4, "big") + rest.to_bytes(4, "big"))


def _packable(value: Any) -> Any:  # Any: as above
    raise InvalidError(f"A {type(value).__name__} cannot be written as msgpack")


def csv_lines(rows: Iterable[Iterable[Value]]) -> bytes:
    """Return rows as lines of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with _only_whole_characters():
        return text.getvalue().encode()
