"""`/{path}/plot`: lowest, highest and mean value of each stretch of rows, about as many stretches as pixels.

So a plot of any length shows every peak: of a Data Array its level of detail says which they are.  Where that
has not seen so many rows yet that looking at them would take long, a part of each stretch is looked at, and
the answer says so.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document
from haywain.errors import InvalidError
from haywain.interfaces import IArray
from haywain.store.detail import Detail, detail_of_rows
from haywain.store.lanes import lanes_of
from haywain.store.summary import Summary
from haywain.values import MIB
from haywain.web.documents import json_response
from haywain.web.formats import Array
from haywain.web.slices import ArrayDocument

EXACT_ROWS = 16 * MIB
"""So many rows that no level of detail has seen are all looked at: some tenths of a second."""

MOST_WIDTH, MOST_COLUMNS = 4000, 8
_DIGITS = 19


@runtime_checkable
class DetailedDocument(Protocol):
    """A document that knows its level of detail."""

    def level_of_detail(
        self, start: int, stop: int, width: int, columns: Sequence[str], most_rows: int
    ) -> Detail:
        """Return what each of `width` stretches of rows holds."""


@dataclass(frozen=True)
class Curve:
    """A column: lowest, highest and mean value of each stretch, None where there is no finite number."""

    name: str
    unit: str
    low: list[float | None]
    high: list[float | None]
    mean: list[float | None]


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
    chosen = [names[column] for column in columns]
    detail = _detail(document, chosen, (start, stop), width)
    curves = [_curve(document, name, detail.columns[name]) for name in chosen]
    return Plot(start, stop, rows, detail.edges[:-1].tolist(), curves, detail.is_sampled)


def _check_columns(columns: list[int], count: int, reason: str) -> None:
    if reason:
        raise InvalidError(reason)
    if len(columns) > MOST_COLUMNS:
        raise InvalidError(f"columns: a plot shows {MOST_COLUMNS} at most, not {len(columns)}")
    for column in columns:
        if not 0 <= column < count:
            raise InvalidError(f"columns: there is no {column}; they are numbered from 0 to {count - 1}")


def _detail(document: ArrayDocument, names: list[str], span: tuple[int, int], width: int) -> Detail:
    """Return the level of detail of a document, by itself or, where it has none, out of its rows."""
    if isinstance(document, DetailedDocument):
        return document.level_of_detail(*span, width, names, EXACT_ROWS)
    row = document.shape[1:]
    lanes = lanes_of(document.dtype, row, [column.name for column in document.columns], names)
    row_bytes = document.dtype.itemsize * math.prod(row)
    return detail_of_rows(lambda low, high: document[low:high], row_bytes, lanes, span, width, EXACT_ROWS)


def _curve(document: ArrayDocument, name: str, found: Summary) -> Curve:
    unit = next((column.unit for column in document.columns if column.name == name), "")
    return Curve(name, unit, _plain(found.min), _plain(found.max), _plain(found.mean))


def _plain(values: Array) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.astype(np.float64).tolist()]


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
