"""Tokens: make one, whose secret is shown once.  Revoking is a transition like any other."""

from dataclasses import replace
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document, Module
from haywain.errors import HaywainError
from haywain.web.documents import create_document
from haywain.web.pages.document import Fact, facts_of, form_values, kind_of, refuse
from haywain.web.pages.figures import Moment
from haywain.web.pages.forms import Field, changed, fields_of, typed, values_of
from haywain.web.pages.page import Values, add_page, command_of, head_of, href_of, name_of, see

_SCOPES = ("read", "write", "activity", "admin", "ingest:*")
_SCOPE_HINT = (
    "What a program may do with it, at most what its owner may. ingest: send to one policy, or to any."
)


def show(context: Document, request: Request) -> Values:
    """Show what a token may do, and when it was last used."""
    token: Any = context  # Any: a Token, which this layer does not import
    used = Moment.at(token.last_used) if token.last_used else None
    last = Fact("Last used", "" if used else "never", moment=used)
    return {"head": head_of(context, request), "facts": [last, *facts_of(context, request)], "line_href": ""}


def new(context: Module, request: Request) -> Values:
    """Show the empty form, for the one who asks; `?scopes=` ticks some."""
    fields = _fields(kind_of(context, request), request)
    fields = changed(fields, "login", value=request.user.login)
    fields = changed(fields, "scopes", chosen=tuple(request.GET.getall("scopes")))
    return form_values("New Token", fields, href_of(context.id), submit="Create")


def create(context: Module, request: Request) -> Values | Response:
    """Make a token and show its secret: this page is the only place where it ever stands."""
    fields = typed(_fields(kind_of(context, request), request), request.POST)
    try:
        token = create_document(request, context, values_of(fields))
    except HaywainError as error:
        return refuse(request, error, "New Token", fields, href_of(context.id), "Create")
    secret = token.shown_once()["secret"]
    request.response.cache_control = "no-store"
    request.override_renderer = "haywain:templates/token_made.jinja2"
    return {
        "name": name_of(token),
        "href": href_of(token.path),
        "secret": secret,
        "check": command_of(
            "curl", f"--header 'Authorization: Bearer {secret}'", f"{request.host_url}/api/v1/search"
        ),
    }


def edit(context: Document, request: Request) -> Values:
    """Show the form; the owner stays."""
    return form_values(f"Edit {name_of(context)}", _edited(context, request), href_of(context.path))


def save(context: Document, request: Request) -> Values | Response:
    """Keep what was typed."""
    fields = typed(_edited(context, request), request.POST)
    try:
        context.edit(**values_of(fields))
    except HaywainError as error:
        return refuse(request, error, f"Edit {name_of(context)}", fields, href_of(context.path))
    return see(request, context.path, "saved")


def _fields(cls: type[Document], request: Request, values: dict[str, object] | None = None) -> list[Field]:
    policies = request.portal.root["portal_ingestion_policies"].documents
    choices = (*_SCOPES, *(f"ingest:{id}" for id in policies))
    fields = fields_of(cls.schema, values)
    fields = changed(fields, "reference", hint="Which program it is for.")
    fields = changed(fields, "login", label="Owner")
    return changed(fields, "scopes", control="choices", choices=choices, hint=_SCOPE_HINT)


def _edited(token: Document, request: Request) -> list[Field]:
    values = {name: getattr(token.properties, name) for name in token.schema.model_fields}
    fields = changed(_fields(type(token), request, values), "login", is_fixed=True)
    chosen = next(field.chosen for field in fields if field.name == "scopes")
    return [
        replace(field, choices=tuple(dict.fromkeys((*field.choices, *chosen))))
        if field.name == "scopes"
        else field
        for field in fields
    ]


def includeme(config: Configurator) -> None:
    """Register the forms."""
    kind = {"portal_type": "Token", "permission": "edit"}
    add_page(config, show, "document", context=Document, portal_type="Token")
    add_page(config, new, "form", context=Module, name="new", **kind)
    add_page(config, create, "form", context=Module, name="new", request_method="POST", **kind)
    add_page(config, edit, "form", context=Document, name="edit", **kind)
    add_page(config, save, "form", context=Document, name="edit", request_method="POST", **kind)
