"""Tables of documents: which columns a kind has, and what stands in them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from haywain.document import Document
from haywain.interfaces import IArray, IByteStream
from haywain.validation import label_of
from haywain.web.pages.figures import Moment, count_text, shape_text, size_text
from haywain.web.pages.page import href_of, name_of

_COLUMNS = {
    "Data Stream": ("reference", "size", "content_type", "state", "modified"),
    "Data Array": ("reference", "shape", "size", "state", "modified"),
    "Image": ("reference", "size", "state", "modified"),
    "Job": ("reference", "kind", "source", "work_state", "progress", "created"),
    "Quarantine": ("reference", "reason", "policy", "size", "state", "created"),
    "Person": ("reference", "roles", "state", "modified"),
    "Alert": ("reference", "document", "in_words", "condition", "state"),
    "Data Analysis": ("reference", "how_far", "state", "modified"),
    "Schedule": ("reference", "document", "method", "rule", "state"),
    "Token": ("reference", "login", "scopes", "expires", "state"),
}
_DEFAULT = ("reference", "state", "modified")
_TITLES = {
    "portal_type": "Kind",
    "kind": "Work",
    "source": "On",
    "work_state": "State",
    "modified": "Last change",
    "in_words": "Fires when",
    "how_far": "How far",
}


@dataclass(frozen=True)
class Cell:
    """What stands in one column of one row; `kind` is name, size, time, state or text."""

    kind: str
    title: str
    text: str
    href: str = ""
    detail: str = ""
    icon: str = ""
    moment: Moment | None = None


def title_of(column: str) -> str:
    """Return what stands over a column, or on a phone before its value.

    >>> title_of("modified"), title_of("content_type")
    ('Last change', 'Content type')
    """
    return _TITLES.get(column) or label_of(column)


def columns_of(portal_type: str) -> tuple[str, ...]:
    """Return the columns of a list of this kind."""
    return _COLUMNS.get(portal_type, _DEFAULT)


def cells_of(document: Document, columns: tuple[str, ...]) -> tuple[Cell, ...]:
    """Return the row of a document."""
    return tuple(_CELLS.get(name, _property)(document, name) for name in columns)


def value_text(value: object) -> str:
    """Return a property as text."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return Moment.at(value.timestamp()).exact
    if isinstance(value, tuple | list):
        return ", ".join(
            ": ".join(map(str, one)) if isinstance(one, tuple | list) else str(one) for one in value
        )
    return str(value)


def _name(document: Document, _name: str) -> Cell:
    name = name_of(document)
    detail = document.title if document.title != name else ""
    return Cell("name", "", name, href_of(document.path), detail, document.icon)


def _size(document: Document, _name: str) -> Cell:
    if not (IByteStream.providedBy(document) or IArray.providedBy(document)):
        return Cell("size", "Size", "")
    return Cell("size", "Size", size_text(document.size), detail=count_text(document.size, "byte"))


def _shape(document: Document, name: str) -> Cell:
    array: Any = document  # Any: a Document that has an array
    is_there = IArray.providedBy(document) and array.is_created
    return Cell("text", title_of(name), shape_text(array.shape) if is_there else "")


def _moment(document: Document, name: str) -> Cell:
    seconds = document.modified if name == "modified" else document.created
    return Cell("time", title_of(name), "", moment=Moment.at(seconds))


def _state(document: Document, _name: str) -> Cell:
    is_over = document.state == "validated" and getattr(document, "is_expired", False)
    return Cell("state", "State", "expired" if is_over else document.state)


def _condition(document: Document, name: str) -> Cell:
    return Cell("state", title_of(name), getattr(document, name))


def _share(document: Document, name: str) -> Cell:
    return Cell("text", title_of(name), f"{int(100 * getattr(document, name))} %")


def _words(document: Document, name: str) -> Cell:
    return Cell("text", title_of(name), getattr(document, name))


def _kind(document: Document, name: str) -> Cell:
    return Cell("text", title_of(name), document.portal_type)


def _property(document: Document, name: str) -> Cell:
    text = value_text(getattr(document.properties, name, ""))
    return Cell("text", title_of(name), text if len(text) <= 160 else f"{text[:160]}…")


def _expires(document: Document, name: str) -> Cell:
    return replace(_property(document, name), text=_property(document, name).text or "never")


_CELLS: dict[str, Callable[[Document, str], Cell]] = {
    "reference": _name,
    "size": _size,
    "shape": _shape,
    "modified": _moment,
    "created": _moment,
    "state": _state,
    "portal_type": _kind,
    "expires": _expires,
    "condition": _condition,
    "work_state": _condition,
    "progress": _share,
    "in_words": _words,
    "how_far": _words,
}
