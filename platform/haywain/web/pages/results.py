"""The result of an activity as people read it: facts, and tables where it lists things that are alike.

A column's histogram (`counts`) is drawn; what has parts of its own (quantiles) has a column for each.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from haywain.validation import label_of

BARS, WIDTH, HEIGHT = 48, 96, 24
"""Most bars of a drawn histogram, and the box it is drawn in."""

MOST_ROWS = 200

Result = Any
"""JSON."""


@dataclass(frozen=True)
class Heading:
    """The head of a column, or of several that are parts of one value."""

    title: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Value:
    """What stands in a cell: a text, or the outline of a histogram."""

    text: str = ""
    outline: str = ""


@dataclass(frozen=True)
class Table:
    """Things that are alike, one a row; the first column names them, if they have names."""

    title: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[Value, ...], ...]
    cut: str = ""


def is_table(value: Result) -> bool:
    """Return whether a value lists things that have the same keys."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        return False
    return all(one.keys() == value[0].keys() for one in value)


def tables_of(result: Result) -> list[Table]:
    """Return the tables of a result."""
    pairs = result.items() if isinstance(result, dict) else []
    return [_table(name, value) for name, value in pairs if is_table(value)]


def _table(name: str, items: list[dict[str, Result]]) -> Table:
    headings = tuple(_heading(key, value) for key, value in items[0].items())
    rows = tuple(tuple(v for value in one.values() for v in _values(value)) for one in items[:MOST_ROWS])
    cut = f"{MOST_ROWS} of {len(items):,}" if len(items) > MOST_ROWS else ""
    return Table(label_of(name), headings, rows, cut)


def _heading(key: str, value: Result) -> Heading:
    parts = tuple(value) if isinstance(value, dict) and "counts" not in value else ()
    return Heading(label_of(key), parts)


def _values(value: Result) -> list[Value]:
    if isinstance(value, dict) and "counts" in value:
        return [Value(outline=outline_of(value["counts"]))]
    return [Value(number_text(one)) for one in (value.values() if isinstance(value, dict) else [value])]


def number_text(value: Result) -> str:
    """Return a value of JSON as people read it.

    >>> number_text(1234567), number_text(-24674.0), number_text(0.1 + 0.2), number_text(None)
    ('1,234,567', '-24,674', '0.3', '')
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def outline_of(counts: list[int]) -> str:
    """Return the path of a histogram's outline in a box of WIDTH by HEIGHT; "" if it is empty.

    >>> outline_of([1, 0, 2])
    'M0 24V12H32V24H64V0H96V24Z'
    """
    if not any(counts):
        return ""
    edges = np.linspace(0, len(counts), min(len(counts), BARS) + 1).astype(int)
    bars = np.add.reduceat(np.array(counts, np.float64), edges[:-1])
    tops = np.round(HEIGHT * (1 - bars / bars.max()), 1)
    steps = "".join(f"V{top:g}H{WIDTH * number / len(bars):.4g}" for number, top in enumerate(tops, start=1))
    return f"M0 {HEIGHT}{steps}V{HEIGHT}Z"
