"""Run background work on a document: the kinds that fit it, and a form out of a kind's parameters."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel
from pydantic import Field as Described
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.activity.job import seen
from haywain.activity.map_reduce import MapReduce
from haywain.activity.method import Method, offered
from haywain.document import Document
from haywain.errors import HaywainError, NotFoundError
from haywain.security import may, require
from haywain.validation import in_labels, labels_of
from haywain.web.pages.document import form_values, refuse
from haywain.web.pages.forms import Field, fields_of, typed, values_of
from haywain.web.pages.page import Values, add_page, href_of, name_of, see


class InParts(BaseModel):
    """What is asked beside the parameters of a kind that can be done in parts."""

    in_parts: bool = Described(False, description="As a Job: in parts, on all Workers there are.")
    size_of_parts: str = Described(
        "", max_length=40, examples=["64 MiB"], description="Empty: as this kind of work has it."
    )


@dataclass(frozen=True)
class Run:
    """A button that leads to the form of a kind of work; `reason` says why it cannot be run now."""

    href: str
    title: str
    reason: str = ""


def runs_of(document: Document, request: Request) -> tuple[Run, ...]:
    """Return the kinds of work that this user may run on a document."""
    return tuple(
        Run(
            f"{href_of(document.path)}/run?{urlencode({'kind': kind.name})}",
            kind.title,
            in_labels(kind.suits(document), labels_of(kind.parameters)),
        )
        for kind in offered(request.site.registry, type(document)).values()
        if may(request.user, kind.permission, document)
    )


def show(context: Document, request: Request) -> Values:
    """Show the form."""
    kind = _kind(context, request)
    fields = _fields(kind, request, _given_before(kind, request))
    return form_values(_heading(kind, context), fields, href_of(context.path), submit="Run")


def start(context: Document, request: Request) -> Values | Response:
    """Put the work into the queue, as this user."""
    kind = _kind(context, request)
    fields = typed(_fields(kind, request), request.POST)
    given = _given(values_of(fields))
    in_parts, step = given.pop("in_parts", False), given.pop("size_of_parts", 0)
    try:
        if in_parts:
            path = request.portal.map_reduce(kind.name, context, step=step, parameters=given).path
        else:
            path = f"activities/{context.activate().queue(kind.name, given).id}"
    except HaywainError as error:
        return refuse(request, error, _heading(kind, context), fields, href_of(context.path), "Run")
    return see(request, path, "started")


def _fields(kind: Method, request: Request, given: dict[str, Any] | None = None) -> list[Field]:  # Any: JSON
    found = fields_of(kind.parameters, given)
    is_in_parts = isinstance(request.site.registry.activities.get(kind.name), MapReduce)
    return [*found, *fields_of(InParts)] if is_in_parts else found


def _given_before(kind: Method, request: Request) -> dict[str, Any]:  # Any: JSON
    """Return what another activity was given, if the address names one of the same kind."""
    if "like" not in request.GET:
        return {}
    record = seen(request.portal, request.GET["like"])
    given: dict[str, Any] = json.loads(record.parameters) if record.method == kind.name else {}
    return given


def _given(values: dict[str, Any]) -> dict[str, Any]:  # Any: what pydantic then checks
    """Return the values without the fields that were left empty: those keep their defaults."""
    return {name: value for name, value in values.items() if value not in (None, "", ())}


def _kind(document: Document, request: Request) -> Method:
    name = request.GET.get("kind", "")
    kind = offered(request.site.registry, type(document)).get(name)
    if kind is None:
        raise NotFoundError(f"There is no work {name[:40]!r} to run on a {document.portal_type}")
    require(request.user, kind.permission, document)
    return kind


def _heading(kind: Method, document: Document) -> str:
    return f"{kind.title}: {name_of(document)}"


def includeme(config: Configurator) -> None:
    """Register the form for every document; what may be run, the kind of work says."""
    add_page(config, show, "form", context=Document, name="run")
    add_page(config, start, "form", context=Document, name="run", request_method="POST")
