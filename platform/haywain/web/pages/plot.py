"""`/{path}/plot`: the lowest and highest value of each stretch of rows, as many stretches as pixels.

So a plot of any length shows every peak.  Above EXACT_VALUES values a part of each stretch is looked at, and
the answer says so.
"""

from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document
from haywain.errors import InvalidError
from haywain.interfaces import IArray
from haywain.values import MIB
from haywain.web.documents import json_response
from haywain.web.formats import Array
from haywain.web.slices import ArrayDocument

EXACT_VALUES = 16 * MIB
"""As many values of a column are all looked at: some tenths of a second."""

MOST_WIDTH, MOST_COLUMNS = 4000, 8
_DIGITS = 19


@dataclass(frozen=True)
class Curve:
    """A column: the lowest and the highest value of each stretch, None where there is no number."""

    name: str
    unit: str
    low: list[float | None]
    high: list[float | None]


@dataclass(frozen=True)
class Plot:
    """Rows [start, stop) of `rows`; stretch i begins at row `at[i]`."""

    start: int
    stop: int
    rows: int
    at: list[int]
    curves: list[Curve]
    is_sampled: bool


def plottable(document: ArrayDocument) -> list[str]:
    """Return the names of the columns that can be plotted against the rows; [] of what is no table."""
    dtype, shape = document.dtype, document.shape
    if dtype.names is not None:
        return [name for name in dtype.names if len(shape) == 1 and _is_number(dtype[name])]
    if not _is_number(dtype) or len(shape) not in (1, 2):
        return []
    count = shape[1] if len(shape) == 2 else 1
    names = [column.name for column in document.columns]
    return names if len(names) == count else [str(number) for number in range(count)]


def why_not(document: ArrayDocument) -> str:
    """Say why an array has no plot; "" if it has one."""
    dtype, shape = document.dtype, document.shape
    if not shape:
        return "A single value has no plot"
    if len(shape) > (1 if dtype.names is not None else 2):
        return f"An array of {len(shape)} dimensions has no plot"
    if not plottable(document):
        return "There is no column of real numbers to plot"
    return ""


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf" and dtype.subdtype is None


def plot_of(document: ArrayDocument, columns: list[int], start: int, stop: int, width: int) -> Plot:
    """Return the plot of some columns, by number; raises InvalidError for rows or columns there are not."""
    names, rows = plottable(document), document.shape[0] if document.shape else 0
    _check_columns(columns, len(names), why_not(document))
    stop = min(stop, rows)
    start = min(max(start, 0), stop)
    edges = np.unique(np.linspace(start, stop, min(width, stop - start) + 1).astype(np.int64))
    view = document[:]
    curves = []
    for number in columns:
        low, high = _outline(_column(view, number, names[number]), edges)
        curves.append(Curve(names[number], _unit(document, names[number]), _plain(low), _plain(high)))
    is_sampled = stop - start > EXACT_VALUES
    return Plot(start, stop, rows, edges[:-1].tolist(), curves, is_sampled)


def _check_columns(columns: list[int], count: int, reason: str) -> None:
    if reason:
        raise InvalidError(reason)
    if len(columns) > MOST_COLUMNS:
        raise InvalidError(f"columns: a plot shows {MOST_COLUMNS} at most, not {len(columns)}")
    for column in columns:
        if not 0 <= column < count:
            raise InvalidError(f"columns: there is no {column}; they are numbered from 0 to {count - 1}")


def _column(view: Array, number: int, name: str) -> Array:
    if view.dtype.names is not None:
        return cast(Array, view[name])
    return view if view.ndim == 1 else view[:, number]


def _unit(document: ArrayDocument, name: str) -> str:
    return next((column.unit for column in document.columns if column.name == name), "")


def _outline(column: Array, edges: Array) -> tuple[Array, Array]:
    """Return the least and the greatest number of each stretch between two edges."""
    count = max(len(edges) - 1, 0)
    low, high = np.full(count, np.nan), np.full(count, np.nan)
    most = max(1, EXACT_VALUES // max(count, 1))
    group = max(1, MIB // max(1, int(edges[-1] - edges[0]) // max(count, 1))) if count else 1
    for first in range(0, count, group):
        last = min(first + group, count)
        if edges[last] - edges[first] <= most * (last - first):
            piece = column[edges[first] : edges[last]].astype(np.float64)
            starts = edges[first:last] - edges[first]
            low[first:last] = np.fmin.reduceat(piece, starts)
            high[first:last] = np.fmax.reduceat(piece, starts)
            continue
        for number in range(first, last):
            piece = column[edges[number] : min(edges[number + 1], edges[number] + most)].astype(np.float64)
            low[number], high[number] = np.fmin.reduce(piece), np.fmax.reduce(piece)
    return low, high


def _plain(values: Array) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def show(context: Document, request: Request) -> Response:
    """Answer the plot as JSON: `?columns=0,1&start=0&stop=1000&width=800`."""
    document = cast(ArrayDocument, context)
    rows = document.shape[0] if document.shape else 0
    columns = [_number(one, "columns") for one in request.GET.get("columns", "0").split(",")]
    start, stop = (
        _number(request.GET.get(name, str(default)), name) for name, default in (("start", 0), ("stop", rows))
    )
    width = min(max(_number(request.GET.get("width", "800"), "width"), 1), MOST_WIDTH)
    return json_response(asdict(plot_of(document, columns, start, stop, width)))


def _number(text: str, name: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidError(f"{name}: a number of 0 or more is expected, not {text[:40]!r}")
    return int(text)


def includeme(config: Configurator) -> None:
    """Register it for all documents that have an array."""
    config.add_view(show, context=IArray, name="plot", request_method="GET", permission="view")
