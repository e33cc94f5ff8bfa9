"""People: add one, change roles or the password.  Lock and unlock are transitions like any other."""

from dataclasses import replace

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document, Module
from haywain.errors import HaywainError
from haywain.security.passwords import LEAST_LENGTH
from haywain.security.user import ROLES
from haywain.web.documents import create_document
from haywain.web.pages.document import form_values, kind_of, refuse
from haywain.web.pages.forms import Field, changed, fields_of, typed, values_of
from haywain.web.pages.page import Values, add_page, href_of, name_of, see

_ROLE_HINT = "Manager: everything. Editor, Analyst: view and change. Viewer: view. Agent: only send."


def new(context: Module, request: Request) -> Values:
    """Show the empty form."""
    fields = _fields(kind_of(context, request))
    return form_values("New Person", fields, href_of(context.id), submit="Create")


def create(context: Module, request: Request) -> Values | Response:
    """Make a person who can log in at once."""
    fields = typed(_fields(kind_of(context, request)), request.POST)
    try:
        person = create_document(request, context, values_of(fields))
    except HaywainError as error:
        return refuse(request, error, "New Person", _without_password(fields), href_of(context.id), "Create")
    return see(request, person.path, "created")


def edit(context: Document, request: Request) -> Values:
    """Show the form; the login stays what it is."""
    return form_values(f"Edit {name_of(context)}", _fields(type(context), context), href_of(context.path))


def save(context: Document, request: Request) -> Values | Response:
    """Keep what was typed; a new password ends the person's browser sessions."""
    fields = typed(_fields(type(context), context), request.POST)
    values = values_of(fields)
    password = values.pop("password")
    try:
        context.edit(**values | ({"password": password} if password else {}))
    except HaywainError as error:
        back, heading = href_of(context.path), f"Edit {name_of(context)}"
        return refuse(request, error, heading, _without_password(fields), back)
    return see(request, context.path, "saved")


def _fields(cls: type[Document], person: Document | None = None) -> list[Field]:
    values = {name: getattr(person.properties, name) for name in cls.schema.model_fields} if person else None
    fields = fields_of(cls.schema, values)
    fields = changed(fields, "reference", label="Login", is_fixed=person is not None)
    fields = changed(fields, "title", label="Name", hint="")
    fields = changed(fields, "roles", control="choices", choices=tuple(ROLES), hint=_ROLE_HINT)
    hint = f"At least {LEAST_LENGTH} characters."
    if person:
        hint += " Leave it empty to keep the present one; a new one logs the person out everywhere."
    password = Field("password", "Password", "password", hint=hint, is_required=person is None)
    return [fields[0], password, *fields[1:]]


def _without_password(fields: list[Field]) -> list[Field]:
    """Return the fields without what must not come back in a page."""
    return [replace(field, value="") if field.name == "password" else field for field in fields]


def includeme(config: Configurator) -> None:
    """Register the forms."""
    kind = {"portal_type": "Person", "permission": "edit"}
    add_page(config, new, "form", context=Module, name="new", **kind)
    add_page(config, create, "form", context=Module, name="new", request_method="POST", **kind)
    add_page(config, edit, "form", context=Document, name="edit", **kind)
    add_page(config, save, "form", context=Document, name="edit", request_method="POST", **kind)
