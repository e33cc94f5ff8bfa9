"""`/{path}/slice`: a part of an array by NumPy's notation, `?index=0:10,::2&format=npy`."""

from collections.abc import Iterator
from typing import Any, Protocol, cast

import numpy as np
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document
from haywain.errors import InvalidError, near
from haywain.interfaces import IArray
from haywain.portal import Portal
from haywain.store.index_text import Item, names_after, one_an_axis, parse_index
from haywain.values import Column
from haywain.web.formats import Array, Format, check_size, dtype_text, format_named
from haywain.web.parameters import given_once
from haywain.web.passing_rows import PassingRows, Readable
from haywain.web.streamed import Streamed, slot_for

PARAMETERS = ("index", "format", "field", "between")
"""What the address of a slice may say."""


class ArrayDocument(Readable, Protocol):
    """The parts of IArray, for the type checker."""

    @property
    def is_created(self) -> bool:
        """Whether it has a shape and a dtype."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and what each row holds."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""

    @property
    def nbytes(self) -> int:
        """The bytes of all values; 0 before it is created."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Names and units of the last axis, or of the fields; may be empty."""

    def __getitem__(self, index: Any) -> Any:
        """Return what NumPy would."""

    def rows_between(self, column: str, low: str | None, high: str | None) -> tuple[int, int]:
        """Return the rows [start, stop) in which low <= column < high."""


def columns_after(document: ArrayDocument, items: tuple[Item, ...]) -> list[str]:
    """Return the names of the columns that an index leaves, [] if the array has none."""
    names = [column.name for column in document.columns]
    if not names or document.dtype.names is not None or len(document.shape) != 2:
        return names
    return names_after(names, document.shape, items)


def show(context: Document, request: Request) -> Response:
    """Answer a slice; its shape and dtype stand in the headers."""
    portal = request.portal.again()  # for as long as rows are sent
    try:
        return _answer(portal, cast(ArrayDocument, portal[context.path]), request)
    except BaseException:
        portal.close()
        raise


def _answer(portal: Portal, document: ArrayDocument, request: Request) -> Response:
    """Return the answer, which owns the portal; what can be refused is before rows are looked at."""
    given = given_once(request.GET, PARAMETERS)
    format = format_named(given.get("format", "npy"))
    between = rows_named(document, given.get("between", ""))
    shape = document.shape if between is None else (len(between), *document.shape[1:])
    items, field = parse_index(given.get("index", ""), shape), given.get("field", "")
    sample = _sample(document, shape, items, field)
    check_size(format, sample)
    format.check(sample)
    array = _part(document, items, field, between, sample)
    length, pieces = _body(format, array, columns_after(document, items))
    response = Response(content_type="application/octet-stream", charset=None)
    if request.method == "HEAD":
        response.app_iter = Streamed(request.environ, iter(()), portal.close)
    else:
        response.app_iter = Streamed(request.environ, pieces, portal.close, slot_for(request, length))
    response.content_length = length
    response.headers["Content-Type"] = format.media_type
    response.headers["Array-Shape"] = ",".join(map(str, sample.shape))
    response.headers["Array-Dtype"] = dtype_text(sample.dtype)
    if between is not None:
        response.headers["Array-Rows"] = f"{between.start},{between.stop}"
    response.headers["Content-Disposition"] = "attachment"
    return response


def _body(format: Format, array: Array | PassingRows, names: list[str]) -> tuple[int, Iterator[bytes]]:
    """Return the bytes of an answer and their number, for which text is made, and rows are not read."""
    if format.length is not None:
        found = cast(Array, array)  # rows that pass by have what these formats need of an ndarray
        return format.length(found), format.encode(found, names)
    body = b"".join(format.encode(array[:] if isinstance(array, PassingRows) else array, names))
    return len(body), iter((body,))


def _sample(document: ArrayDocument, shape: tuple[int, ...], items: tuple[Item, ...], field: str) -> Array:
    """Return what has the shape and dtype of a part and takes no memory; raises InvalidError."""
    zeros = np.broadcast_to(np.zeros((), document.dtype), shape)
    return _field_of(document, zeros[_whole(items)], field)


def _part(
    document: ArrayDocument, items: tuple[Item, ...], field: str, between: range | None, sample: Array
) -> Array | PassingRows:
    """Return a part of an array, which is read when it is sent, where it has rows."""
    if not document.shape:
        return picked(document, items, field)
    rows = range(document.shape[0]) if between is None else between
    first, *rest = one_an_axis(items, len(document.shape))
    if isinstance(first, slice):
        return PassingRows(document, rows[first], tuple(rest), field, sample)
    row = document.read(rows[first], rows[first] + 1)
    return _field_of(document, row[(0, *rest, ...)], field)


def rows_named(document: ArrayDocument, between: str) -> range | None:
    """Return the rows that `column,low,high` means, None if it is empty; an empty bound is none."""
    if not between:
        return None
    parts = between.rsplit(",", 2)
    if len(parts) < 3:
        raise InvalidError(
            f"between is column,low,high, as in time,2026-11-01,2026-11-02; not {between[:100]!r}"
        )
    column, low, high = (part.strip() for part in parts)
    return range(*document.rows_between(column, low or None, high or None))


def picked(
    document: ArrayDocument, items: tuple[Item, ...], field: str = "", rows: range | None = None
) -> Array:
    """Return a part of an array, or of some rows of it, without a copy where the system can map it.

    Raises InvalidError.
    """
    array = document if rows is None else document[rows.start : rows.stop]
    return _field_of(document, np.asarray(array[_whole(items)]), field)


def _whole(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return an index that gives no scalar of NumPy, which would forget dtype and byte order."""
    return items if ... in items else (*items, ...)


def _field_of(document: ArrayDocument, array: Array, field: str) -> Array:
    """Return a field of an array, all of it if none is named; raises InvalidError."""
    if not field:
        return array
    if array.dtype.names is None or field not in array.dtype.names:
        raise InvalidError(_no_field(document, field))
    return np.asarray(array[field])


def _no_field(document: ArrayDocument, field: str) -> str:
    """Say that there is no such field; a column of that name is picked by the index."""
    names = [column.name for column in document.columns]
    if document.dtype.names is None and field in names and len(document.shape) == 2:
        return f"{field[:40]!r} is a column and no field: pick it by the index, as in :, {names.index(field)}"
    return f"There is no field {field[:40]!r}; {near(field, document.dtype.names or ())}"


def includeme(config: Configurator) -> None:
    """Register the slices of all documents that have an array."""
    config.add_view(show, context=IArray, name="slice", request_method=("GET", "HEAD"), permission="view")
