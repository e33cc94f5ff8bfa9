"""From keywords to SQL: values, lists, `%` patterns, ranges, dates by precision, full text, order, cursor."""

import base64
import binascii
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, false, or_, text, true

from haywain.catalog.schema import DATES, FOLDED, KEYWORDS, NUMBERS, fold
from haywain.errors import InvalidError, UnknownNameError

SEARCHABLE = (*KEYWORDS, *NUMBERS, *DATES)

MOST_VALUES = 100
"""Values in one list, words in one text: SQLite limits the depth of an expression."""

_MOST_KEYS = 8  # to sort by
_LONGEST = 1000  # characters of a value: no column holds more
_LARGEST = 2**63 - 1  # whole number that SQL knows

Value = Any  # Any: str, int, float, datetime, Range, None or a list of these; checked by column below


@dataclass(frozen=True)
class Range:
    """Values from `min` on and below `max`; either may be None."""

    min: Value = None
    max: Value = None


@dataclass(frozen=True)
class Query:
    """What to find, in which order, from where on.

    `sort_on` names columns, a leading `-` for descending; `cursor` is what the last page gave.
    """

    where: Mapping[str, Value] = field(default_factory=dict)
    text: str = ""
    sort_on: tuple[str, ...] = ("-modified",)
    limit: int | None = None
    cursor: str = ""
    hidden: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Raise UnknownNameError for a column that is not there, InvalidError for a bad limit."""
        for name in (*self.where, *(key.lstrip("-") for key in self.sort_on)):
            if name not in SEARCHABLE:
                raise UnknownNameError("search key", name, (*SEARCHABLE, "text", "sort", "limit", "cursor"))
        if len(self.sort_on) > _MOST_KEYS:
            raise InvalidError(f"Sort by {_MOST_KEYS} keys at most")
        if self.limit is not None and not 0 < self.limit <= 1000:
            raise InvalidError("limit is between 1 and 1000")

    def conditions(self, source: FromClause) -> ColumnElement[bool]:
        """Return the filter, without the cursor; the hidden Portal Types are left out here, nowhere else."""
        parts = [_condition(source, name, value) for name, value in self.where.items()]
        if self.hidden:
            parts.append(source.c.portal_type.not_in(sorted(self.hidden)))
        return and_(true(), *parts)

    def order(self, source: FromClause) -> list[tuple[ColumnElement[Any], bool]]:
        """Return the columns to sort by and whether descending; the uid last, so that the order is total."""
        keys = [(source.c[FOLDED.get(k.lstrip("-"), k.lstrip("-"))], k.startswith("-")) for k in self.sort_on]
        return [*keys, (source.c.uid, bool(keys) and keys[0][1])]

    def after(self, source: FromClause) -> ColumnElement[bool]:
        """Return the filter for what follows the cursor."""
        if not self.cursor:
            return true()
        order = self.order(source)
        values = decode_cursor(self.cursor, len(order))
        steps: list[ColumnElement[bool]] = []
        for i, (column, descending) in enumerate(order):
            same = [order[j][0] == values[j] for j in range(i)]
            steps.append(and_(true(), *same, column < values[i] if descending else column > values[i]))
        return or_(false(), *steps)


def match_expression(words: str) -> str:
    """Return what FTS5 understands: every word must begin a word of the text.

    Raises InvalidError for more words than SQLite can take.

    >>> match_expression('turbine-7 "wav')
    '"turbine"* "7"* "wav"*'
    """
    found = dict.fromkeys(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", words)))
    if len(found) > MOST_VALUES:
        raise InvalidError(f"Search for {MOST_VALUES} words at most")
    return " ".join(f'"{word}"*' for word in found)


def text_condition(source: FromClause, table: str, words: str) -> ColumnElement[bool]:
    """Return the filter by full text; no word at all finds nothing."""
    expression = match_expression(words)
    if not expression:
        return false()
    found = f"select rowid from {table} where {table.rpartition('.')[2]} match :words"  # noqa: S608  # our names
    return source.c.uid.in_(text(found).bindparams(words=expression))


def encode_cursor(values: Iterable[Value]) -> str:
    """Return a cursor that continues after a row with these sort values."""
    return base64.urlsafe_b64encode(json.dumps(list(values)).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, length: int) -> list[Value]:
    """Return the sort values of a cursor; raises InvalidError."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise InvalidError("The cursor is damaged; start again without it") from error
    if not isinstance(values, list) or len(values) != length or not all(map(_is_storable, values)):
        raise InvalidError("The cursor belongs to another search; start again without it")
    return values


def _is_storable(value: Value) -> bool:
    """Return whether SQL can compare with a value that came from outside."""
    if isinstance(value, str):
        return not any(0xD800 <= ord(c) <= 0xDFFF for c in value)
    if isinstance(value, int):
        return -_LARGEST <= value <= _LARGEST
    return isinstance(value, float) and math.isfinite(value)


def _condition(source: FromClause, name: str, value: Value) -> ColumnElement[bool]:
    if isinstance(value, list | tuple | set | frozenset):
        if len(value) > MOST_VALUES:
            raise InvalidError(f"{name} has {len(value)} values, at most {MOST_VALUES} are allowed")
        return or_(false(), *(_condition(source, name, one) for one in value))
    if name in KEYWORDS:
        return _keyword(source, name, value)
    if name in DATES:
        return _date(source.c[name], name, value)
    return _number(source.c[name], name, value)


def _keyword(source: FromClause, name: str, value: Value) -> ColumnElement[bool]:
    column = source.c[FOLDED.get(name, name)]
    if isinstance(value, Range):
        return _between(
            column, *(None if end is None else _text(name, end) for end in (value.min, value.max))
        )
    folded = _text(name, "" if value is None else value)
    if "%" in folded:
        return column.like(re.sub(r"([\\_])", r"\\\1", folded), escape="\\")
    return column == folded


def _text(name: str, value: Value) -> str:
    text = str(value)
    if len(text) > _LONGEST or not _is_storable(text):
        raise InvalidError(f"{name} is a text of at most {_LONGEST} characters")
    return fold(text)


def _number(column: ColumnElement[Any], name: str, value: Value) -> ColumnElement[bool]:
    if isinstance(value, Range):
        return _between(column, *(None if end is None else _int(name, end) for end in (value.min, value.max)))
    return column == _int(name, value)


def _int(name: str, value: Value) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidError(f"{name} is a whole number, {str(value)[:40]!r} is not") from None
    if abs(number) > _LARGEST:
        raise InvalidError(f"{name} is a whole number of at most {_LARGEST}")
    return number


def _date(column: ColumnElement[Any], name: str, value: Value) -> ColumnElement[bool]:
    if isinstance(value, Range):
        return _between(
            column, *(None if end is None else _moment(name, end)[0] for end in (value.min, value.max))
        )
    start, stop = _moment(name, value)
    return _between(column, start, stop)


def _between(column: ColumnElement[Any], low: Value, high: Value) -> ColumnElement[bool]:
    return and_(
        true(), *([column >= low] if low is not None else []), *([column < high] if high is not None else [])
    )


_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d))?)?)?)?)?Z?")


def _moment(name: str, value: Value) -> tuple[float, float]:
    """Return the seconds that a date covers: `2026` a year, `2026-11` a month, down to a second."""
    if isinstance(value, datetime):
        start_s = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        return start_s, start_s + 1
    if isinstance(value, int | float) and abs(value) <= _LARGEST:
        return float(value), float(value) + 1
    found = _DATE.fullmatch(str(value).strip())
    if not found:
        raise InvalidError(f"{name} is a date such as 2026, 2026-11, 2026-11-22 or 2026-11-22T14:00:00")
    parts = [int(part) for part in found.groups() if part is not None]
    try:
        start = datetime(*parts, *(1, 1)[len(parts) - 1 :], tzinfo=UTC)  # type: ignore[misc, arg-type]
        return start.timestamp(), _next(start, len(parts)).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"{name}: {error}") from error


def _next(start: datetime, precision: int) -> datetime:
    if precision == 1:
        return start.replace(year=start.year + 1)
    if precision == 2:
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(**{{3: "days", 4: "hours", 5: "minutes", 6: "seconds"}[precision]: 1})
