"""`/{path}/slice`: a part of an array by NumPy's notation, `?index=0:10,::2&format=npy`."""

from typing import Any, Protocol, cast

import numpy as np
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document
from haywain.errors import InvalidError, near
from haywain.interfaces import IArray
from haywain.portal import Portal
from haywain.store.index_text import Item, names_after, parse_index
from haywain.values import MIB, Column
from haywain.web.formats import Array, Format, check_size, dtype_text, format_named
from haywain.web.parameters import given_once
from haywain.web.passing_rows import PassingRows, Readable
from haywain.web.streamed import Streamed, slot_for

PARAMETERS = ("index", "format", "field", "between")
"""What the address of a slice may say."""

LARGE = 16 * MIB
"""A slice of more bytes is read as it is sent."""


class ArrayDocument(Protocol):
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
    """Return the answer, which owns the portal."""
    given = given_once(request.GET, PARAMETERS)
    format = format_named(given.get("format", "npy"))
    rows = _rows(document, given.get("between", ""))
    shape = document.shape if rows is None else (rows.stop - rows.start, *document.shape[1:])
    items = parse_index(given.get("index", ""), shape)
    array = _to_send(document, items, given.get("field", ""), rows, format)
    check_size(format, array)
    pieces = format.encode(array, columns_after(document, items))
    response = Response(content_type="application/octet-stream", charset=None)
    if format.length is None:
        response.body = b"".join(pieces)
        portal.close()
    else:
        length = format.length(array)
        if request.method == "HEAD":
            response.app_iter = Streamed(request.environ, iter(()), portal.close)
        else:
            response.app_iter = Streamed(request.environ, pieces, portal.close, slot_for(request, length))
        response.content_length = length
    response.headers["Content-Type"] = format.media_type
    response.headers["Array-Shape"] = ",".join(map(str, array.shape))
    response.headers["Array-Dtype"] = dtype_text(array.dtype)
    if rows is not None:
        response.headers["Array-Rows"] = f"{rows.start},{rows.stop}"
    response.headers["Content-Disposition"] = "attachment"
    return response


def _to_send(
    document: ArrayDocument, items: tuple[Item, ...], field: str, rows: slice | None, format: Format
) -> Array:
    """Return a part of an array; large rows in a row, for a format that sends them so, when they are sent."""
    whole = items if items and items[0] is not ... else (slice(None), *items)
    passes = format.length is not None and not field and hasattr(document, "read") and document.shape
    if passes and isinstance(whole[0], slice) and (whole[0].step or 1) > 0:
        base = rows or slice(0, document.shape[0])
        found = PassingRows(cast(Readable, document), range(base.start, base.stop), whole)
        if found.nbytes > LARGE:
            return cast(Array, found)  # it has what formats of any size need of an ndarray
    return picked(document, items, field, rows)


def _rows(document: ArrayDocument, between: str) -> slice | None:
    """Return the rows that `column,low,high` means, None if it is empty; an empty bound is none."""
    if not between:
        return None
    parts = between.rsplit(",", 2)
    if len(parts) < 3:
        raise InvalidError(
            f"between is column,low,high, as in time,2026-11-01,2026-11-02; not {between[:100]!r}"
        )
    column, low, high = (part.strip() for part in parts)
    return slice(*document.rows_between(column, low or None, high or None))


def picked(
    document: ArrayDocument, items: tuple[Item, ...], field: str = "", rows: slice | None = None
) -> Array:
    """Return a part of an array, or of some rows of it, without a copy where the system can map it.

    Raises InvalidError.
    """
    whole = items if ... in items else (*items, ...)  # a scalar of NumPy would forget dtype and byte order
    array = np.asarray(document[whole] if rows is None else document[rows][whole])
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
