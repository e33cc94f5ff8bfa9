"""Pages that every kind has: show, new, edit, and the transitions of its workflow.

A kind with more to say than its properties has a page of its own, registered for its Portal Type.
"""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document, Module
from haywain.errors import HaywainError, NotFoundError, TemporaryError
from haywain.security import may, require
from haywain.validation import labels_of
from haywain.web.creation import Creation, is_array
from haywain.web.documents import create_document, make_transition
from haywain.web.pages.cells import value_text
from haywain.web.pages.figures import Moment
from haywain.web.pages.forms import Field, fields_of, text_in, typed, values_of, with_errors
from haywain.web.pages.page import Values, add_page, head_of, href_of, name_of, see

_NOT_DONE = {"Run": "Nothing was started"}
_ALREADY_ON_TOP = ("reference", "title")


@dataclass(frozen=True)
class Fact:
    """A property: its name and what it says; `href` leads to the document that it names."""

    name: str
    text: str
    href: str = ""
    moment: Moment | None = None


def facts_of(document: Document, request: Request) -> list[Fact]:
    """Return the properties that have a value, and the documents it is linked to and from."""
    found = []
    labels = labels_of(type(document.properties))
    for name, info in type(document.properties).model_fields.items():
        text = "" if info.exclude else value_text(getattr(document.properties, name))
        if text and name not in _ALREADY_ON_TOP:
            found.append(Fact(labels[name], text))
    return found + links_of(document, request)


def links_of(document: Document, request: Request) -> list[Fact]:
    """Return the documents that this one names by its categories, if the user may view them.

    One of its own kind is called what it is to it, such as predecessor.
    """
    found = []
    for name, path in document.categories:
        other = visible_at(path, request)
        if other is not None:
            is_alike = other.portal_type == document.portal_type
            title = name.replace("_", " ").capitalize() if is_alike else other.portal_type
            found.append(Fact(title, name_of(other), href_of(other.path)))
    return found


def visible_at(path: str, request: Request) -> Document | None:
    """Return the document at a path, None if there is none or the user may not view it."""
    try:
        found: Document = request.portal[path]
    except NotFoundError:
        return None
    return found if may(request.user, "view", found) else None


def show(context: Document, request: Request) -> Values:
    """Show the properties of a document."""
    return {
        "head": head_of(context, request),
        "facts": facts_of(context, request),
        "line_href": line_href_of(context, request),
    }


def line_href_of(document: Document, request: Request) -> str:
    """Return where a line is added to a document, "" where none can be."""
    cls = request.site.registry.portal_types.get(document.line_type)
    if cls is None or not may(request.user, "edit", document) or not may(request.user, cls.edit_permission):
        return ""
    return f"{href_of(cls.module_id)}/new?{urlencode({document.line_property: document.path})}"


def form_values(
    heading: str, fields: list[Field], back: str, error: str = "", submit: str = "Save"
) -> Values:
    """Return what `form.jinja2` needs."""
    return {"heading": heading, "fields": fields, "back": back, "error": error, "submit": submit}


def refuse(
    request: Request, error: HaywainError, heading: str, fields: list[Field], back: str, submit: str = "Save"
) -> Values:
    """Show the form again with what is wrong; nothing that was tried is kept."""
    if isinstance(error, TemporaryError):
        raise error
    request.tm.doom()
    request.response.status_int = error.status
    shown, rest = with_errors(fields, error)
    return form_values(
        heading, shown, back, rest or f"{_NOT_DONE.get(submit, 'Nothing was saved')}; see below.", submit
    )


def kind_of(module: Module, request: Request) -> type[Document]:
    """Return the kind that is made in a module; raises NotFoundError if people make none there."""
    kinds: Any = request.site.registry.portal_types.values()  # Any: a view of a dict
    found: list[type[Document]] = [cls for cls in kinds if cls.module_id == module.id and cls.is_addable]
    if not found:
        raise NotFoundError(f"Nobody makes documents in {module.id} by hand")
    require(request.user, found[0].edit_permission)
    return found[0]


def new(context: Module, request: Request) -> Values:
    """Show the empty form; what the address says is filled in."""
    cls = kind_of(context, request)
    fields = [
        replace(field, value=request.GET[field.name]) if field.name in request.GET else field
        for field in _new_fields(cls)
    ]
    return form_values(f"New {cls.portal_type}", fields, href_of(context.id), submit="Create")


def _new_fields(cls: type[Document]) -> list[Field]:
    """Return the fields of a new document: of an array its type and shape come first behind its names."""
    fields = fields_of(cls.schema)
    return [*fields[:2], *fields_of(Creation), *fields[2:]] if is_array(cls) else fields


def create(context: Module, request: Request) -> Values | Response:
    """Make a document of what was typed."""
    cls = kind_of(context, request)
    fields = typed(_new_fields(cls), request.POST)
    try:
        document = create_document(request, context, values_of(fields))
    except HaywainError as error:
        return refuse(request, error, f"New {cls.portal_type}", fields, href_of(context.id), "Create")
    return see(request, document.path, "created")


def edit(context: Document, request: Request) -> Values:
    """Show the form with what is there."""
    return form_values(f"Edit {name_of(context)}", _fields(context), href_of(context.path))


def save(context: Document, request: Request) -> Values | Response:
    """Keep what was typed."""
    fields, heading = typed(_fields(context), request.POST), f"Edit {name_of(context)}"
    try:
        context.edit(**values_of(fields))
    except HaywainError as error:
        return refuse(request, error, heading, fields, href_of(context.path))
    return see(request, context.path, "saved")


def _fields(document: Document) -> list[Field]:
    if not document.is_editable:
        raise NotFoundError(f"This {document.portal_type} stays as it came")
    return fields_of(
        document.schema, {name: getattr(document.properties, name) for name in document.schema.model_fields}
    )


def move(context: Document, request: Request) -> Response:
    """Make a transition."""
    make_transition(request, context, text_in(request.POST, "transition"), text_in(request.POST, "comment"))
    return see(request, context.path, "moved")


def includeme(config: Configurator) -> None:
    """Register the pages of every kind."""
    add_page(config, show, "document", context=Document)
    add_page(config, new, "form", context=Module, name="new", permission="edit")
    add_page(config, create, "form", context=Module, name="new", permission="edit", request_method="POST")
    add_page(config, edit, "form", context=Document, name="edit", permission="edit")
    add_page(config, save, "form", context=Document, name="edit", permission="edit", request_method="POST")
    config.add_view(move, context=Document, name="transition", permission="view", request_method="POST")
