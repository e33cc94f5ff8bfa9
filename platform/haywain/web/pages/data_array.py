"""The page of an array: plot it, look at a slice of it, know how programs get at it."""

import shlex
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

import numpy as np
from pyramid.config import Configurator
from pyramid.request import Request

from haywain.document import Document
from haywain.errors import InvalidError
from haywain.interfaces import IArray
from haywain.store.index_text import parse_index
from haywain.web.formats import Array, formats_for, plain
from haywain.web.pages.document import Fact, links_of, visible_at
from haywain.web.pages.figures import Moment, count_text, shape_text, size_text, type_text
from haywain.web.pages.page import Values, add_page, command_of, head_of, href_of, name_of, url_of
from haywain.web.pages.plot import plottable, why_not
from haywain.web.pages.runs import runs_of
from haywain.web.pages.watching import watching_of
from haywain.web.slices import ArrayDocument, columns_after, picked, rows_named

GRID_ROWS, GRID_COLUMNS = 25, 12
"""Most rows and columns of the grid."""

_CELL_LENGTH = 60
MOST_COLUMNS = 20
"""Columns that are told of with their units; the others stand behind them, folded."""

MOST_CHOICES, CHOSEN = 16, 4
"""Columns of the plot to choose from, and those chosen at first."""


_PYTHON = """\
import base64, getpass, io, urllib.request
import numpy

login = {login!r} + getpass.getpass()
basic = base64.b64encode(login.encode()).decode()
request = urllib.request.Request(
    {url!r},
    headers={{"Authorization": f"Basic {{basic}}"}},
)
with urllib.request.urlopen(request) as answer:
    rows = numpy.load(io.BytesIO(answer.read()))
print(rows.shape, rows.dtype)"""


@dataclass(frozen=True)
class Grid:
    """A slice as a table; `cut` says what of it is not shown, `wrong` why there is none."""

    index: str
    between: str = ""
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()
    shape: str = ""
    cut: str = ""
    formats: tuple[str, ...] = ()
    wrong: str = ""
    previous: str = ""
    next: str = ""


@dataclass(frozen=True)
class Choice:
    """A column that can be plotted; only so many are chosen at first."""

    number: int
    name: str
    unit: str
    is_chosen: bool


def show(context: Document, request: Request) -> Values:
    """Show an array."""
    document = cast(ArrayDocument, context)
    return {
        "head": head_of(context, request),
        "size": size_text(document.nbytes),
        "facts": _facts(context, request),
        "description": context.properties.description,
        "columns": document.columns[:MOST_COLUMNS],
        "folded": _folded(document),
        "choices": _choices(document),
        "rate_hz": getattr(context.properties, "rate_hz", 0.0),
        "no_plot": _no_plot(document),
        "more_columns": _more_columns(document),
        "grid": _grid(document, request) if document.is_created else None,
        "lacking": getattr(context, "lacking", ""),
        "commands": _commands(context, request),
        "runs": runs_of(context, request),
        "watching": watching_of(context, request),
    }


def _grid(document: ArrayDocument, request: Request) -> Grid:
    return grid_of(document, request.GET.get("index", ""), request.GET.get("between", ""))


def _facts(context: Document, request: Request) -> list[Fact]:
    document = cast(ArrayDocument, context)
    is_created = document.is_created
    return [
        Fact("Shape", shape_text(document.shape) if is_created else "not created yet"),
        *([Fact("Type", type_text(document.dtype))] if is_created else []),
        Fact("Exactly", count_text(document.nbytes, "byte")),
        *_sources(context, request),
        *links_of(context, request),
        Fact("Last change", "", moment=Moment.at(context.modified)),
        Fact("Created", "", moment=Moment.at(context.created)),
        Fact("Path", context.path),
    ]


def _sources(context: Any, request: Request) -> list[Fact]:  # Any: a document of whatever kind
    """Return what a document shows the rows of, and which part of that; nothing for one that has its own."""
    found = []
    for path in getattr(context, "made_of", ()):
        other = visible_at(path, request)
        found.append(Fact("Made of", path) if other is None else _link("Made of", other))
    if found:
        index, field = context.properties.index, context.properties.field
        found += [Fact(name, text) for name, text in (("Index", index), ("Field", field)) if text]
    return found


def _link(name: str, document: Document) -> Fact:
    return Fact(name, name_of(document), href_of(document.path))


def _choices(document: ArrayDocument) -> tuple[Choice, ...]:
    """Return the columns to choose from; at first those are chosen that have the unit of the first."""
    names = plottable(document) if document.is_created and document.shape and document.shape[0] else []
    units = {column.name: column.unit for column in document.columns}
    of_first = [name for name in names if units.get(name) == units.get(names[0])][:CHOSEN]
    return tuple(
        Choice(number, name, units.get(name, ""), name in of_first)
        for number, name in enumerate(names[:MOST_CHOICES])
    )


def _folded(document: ArrayDocument) -> tuple[str, str]:
    """Return how many columns are not told of, and their names; ("", "") if none."""
    rest = document.columns[MOST_COLUMNS:]
    names = (f"{column.name} ({column.unit})" if column.unit else column.name for column in rest)
    return (f"{len(rest):,}", ", ".join(names)) if rest else ("", "")


def _no_plot(document: ArrayDocument) -> str:
    """Say why there is no plot of an array that was created; "" where there is one."""
    if not document.is_created:
        return ""
    return why_not(document) or ("" if document.shape[0] else "There are no rows to plot yet")


def _more_columns(document: ArrayDocument) -> str:
    """Return which columns can be plotted beside those to choose from, "" if none.

    They are numbered as in an index, from 0; where their names are others, those of the ends stand beside.
    """
    names = plottable(document) if document.is_created else []
    if len(names) <= MOST_CHOICES:
        return ""
    ends = [
        str(number) if names[number] == str(number) else f"{number} ({names[number]})"
        for number in (MOST_CHOICES, len(names) - 1)
    ]
    return " to ".join(ends)


def grid_of(document: ArrayDocument, index: str, between: str = "") -> Grid:
    """Return the slice that the address asks for, its first rows if it asks for nothing."""
    between = between.strip()
    index = index.strip() or (f"0:{GRID_ROWS}" if document.shape else "...")
    try:
        found = rows_named(document, between)
        shape = document.shape if found is None else (len(found), *document.shape[1:])
        items = parse_index(index, shape)
        array = picked(document, items, rows=found)
    except InvalidError as error:
        return Grid(index, between, wrong=error.detail)
    names = columns_after(document, items)
    table = _table(array)
    first = items[0] if items else 0
    start, step = _steps(first, shape)
    start += found.start if found is not None else 0
    headings = _headings(table, names)
    rows = tuple(
        (f"{start + number * step:,}", tuple(_cell(value) for value in row))
        for number, row in enumerate(_rows(table[:GRID_ROWS]))
    )
    previous, following = _neighbours(index, between, first, shape)
    return Grid(
        index,
        between,
        headings,
        rows,
        "×".join(map(str, array.shape)) or "1",
        _cut(array, table),
        formats_for(array),
        previous=previous,
        next=following,
    )


def _steps(first: Any, shape: tuple[int, ...]) -> tuple[int, int]:  # Any: an item of an index
    if isinstance(first, slice) and shape:
        start, _, step = first.indices(shape[0])
        return start, step
    return (first % max(shape[0], 1), 1) if isinstance(first, int) and shape else (0, 1)


def _table(array: Array) -> Array:
    """Return an array as rows, of more than two dimensions the first of all but the last two."""
    if array.ndim > 2:
        array = array[(0,) * (array.ndim - 2)] if array.size else array.reshape(0, array.shape[-1])
    return np.atleast_1d(array)


def _headings(table: Array, names: list[str]) -> tuple[str, ...]:
    if table.dtype.names is not None and table.ndim == 1:
        return table.dtype.names[:GRID_COLUMNS]
    if table.ndim == 1:
        return (names[0],) if len(names) == 1 else ("value",)
    count = table.shape[1]
    return tuple(names if len(names) == count else map(str, range(count)))[:GRID_COLUMNS]


def _rows(table: Array) -> list[list[Any]]:  # Any: JSON
    if table.dtype.names is not None and table.ndim == 1:
        names = table.dtype.names[:GRID_COLUMNS]
        return [[plain(np.asarray(row[name]), is_json=False) for name in names] for row in table]
    if table.ndim == 1:
        return [[value] for value in plain(table, is_json=False)]
    found: list[list[Any]] = plain(table[:, :GRID_COLUMNS], is_json=False)
    return found


def _cell(value: Any) -> str:  # Any: JSON
    if isinstance(value, float):
        return f"{value:.9g}"
    text = str(value)
    return text if len(text) <= _CELL_LENGTH else f"{text[:_CELL_LENGTH]}…"


def _cut(array: Array, table: Array) -> str:
    parts = []
    if array.ndim > 2 and array.size:
        parts.append(f"the first of {shape_text(array.shape[:-2])} tables")
    if len(table) > GRID_ROWS:
        parts.append(f"{GRID_ROWS} of {len(table):,} rows")
    width = len(table.dtype.names or ()) if table.ndim == 1 else table.shape[1]
    if width > GRID_COLUMNS:
        parts.append(f"{GRID_COLUMNS} of {width:,} columns")
    return ", ".join(parts)


def _neighbours(index: str, between: str, first: Any, shape: tuple[int, ...]) -> tuple[str, str]:
    """Return the addresses of the slices before and after one of rows `a:b`."""
    if not isinstance(first, slice) or first.step not in (None, 1) or not shape:
        return "", ""
    start, stop, _ = first.indices(shape[0])
    if stop <= start:
        return "", ""
    length, rest = stop - start, index.partition(",")[2]

    def link(begin: int) -> str:
        text = f"{begin}:{min(begin + length, shape[0])}" + (f",{rest}" if rest else "")
        return "?" + urlencode({"index": text} | ({"between": between} if between else {}))

    return (link(max(0, start - length)) if start > 0 else ""), (link(stop) if stop < shape[0] else "")


def _commands(document: Document, request: Request) -> tuple[tuple[str, str], ...]:
    """Return what a person can paste into a shell or a notebook."""
    array: Any = document  # Any: a Document that has an array
    index = "index=0:1000&" if not array.is_created or array.shape else ""
    url = f"{url_of(request, document.path)}/slice?{index}format=npy"
    login = request.user.login
    curl = command_of(f"curl --user {shlex.quote(login)}", "--output slice.npy", shlex.quote(url))
    return ("A slice of it", curl), ("In Python", _PYTHON.format(login=login + ":", url=url))


def includeme(config: Configurator) -> None:
    """Register the page of every kind that has an array."""
    add_page(config, show, "data_array", context=IArray)
