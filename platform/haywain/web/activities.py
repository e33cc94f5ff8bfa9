"""Activities for programs: queue one on a document, see how it is, cancel it, run it again.

    POST /{path}/activities                     {"method", "parameters": {}, "tag", ...}: 202, {"id", "url"}
    GET  /api/v1/activities?state=&tag=&path=&method=&user=   {"items", "count", "next"}, newest first
    POST /api/v1/activities/cancel, .../retry   {"ids": [...]} or {"filter": {...}}: {"changed", "skipped"}
    GET  /api/v1/activities/{id}                the activity
    POST /api/v1/activities/{id}/cancel         the activity, cancelled, at its next step if it runs
    POST /api/v1/activities/{id}/retry          the activity, queued once more

Those that a user did not ask for are for Managers only; to others they do not exist (404).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.activity.bulk import change_all, ids_to_change
from haywain.activity.job import cancel, retry, seen
from haywain.activity.listing import Wanted, list_activities
from haywain.activity.method import offered
from haywain.activity.outbox import Outbox
from haywain.document import Document
from haywain.errors import InvalidError, UnknownNameError
from haywain.security import may
from haywain.web.documents import json_object, json_response
from haywain.web.parameters import given_once

LIMIT = 20
FILTERS = ("state", "tag", "path", "method", "user")
"""By what activities are chosen."""


def start(context: Document, request: Request) -> Response:
    """Queue a method on a document; it runs once this request's transaction has committed."""
    content = json_object(request)
    name, parameters = content.pop("method", None), content.pop("parameters", {})
    if not isinstance(name, str) or not isinstance(parameters, dict):
        raise InvalidError('Say {"method": name, "parameters": {...}}')
    for asked in (name, str(content.get("on_error"))):
        if asked.startswith("_"):
            raise UnknownNameError(
                f"activity on {context.portal_type}", asked, offered(request.site.registry, type(context))
            )
    job = context.activate(**content).queue(name, parameters)
    url = f"/api/v1/activities/{job.id}"
    response = json_response({"id": job.id, "url": url}, status=202)
    response.location = url
    return response


def known(context: Document, request: Request) -> Response:
    """Answer what this user may run on a document, with the schema of each one's parameters."""
    found = offered(request.site.registry, type(context)).values()
    return json_response({"items": [_method(m) for m in found if may(request.user, m.permission, context)]})


def _method(method: Any) -> dict[str, Any]:  # Any: a Method; JSON
    return {"method": method.name, "title": method.title, "parameters": method.parameters.model_json_schema()}


def show(request: Request) -> Response:
    """Answer one activity."""
    return json_response(seen(request.portal, request.matchdict["id"]).as_dict())


def show_all(request: Request) -> Response:
    """Answer a page of activities; `count` is of all pages."""
    page = list_activities(Outbox.of(request.portal.root), request.user, wanted(request))
    items = [record.summary() for record in page.items]
    return json_response({"items": items, "count": page.count, "next": page.next or None})


def wanted(request: Request) -> Wanted:
    """Return what a request asks for; raises InvalidError or UnknownNameError."""
    given = given_once(request.GET, (*FILTERS, "limit", "cursor"))
    limit = given.get("limit") or str(LIMIT)
    if not limit.isascii() or not limit.isdigit() or len(limit) > 9:
        raise InvalidError("limit is a whole number between 1 and 1000")
    return replace(wanted_of(given), limit=int(limit), cursor=given.get("cursor", ""))


def wanted_of(given: Mapping[str, str]) -> Wanted:
    """Return what a filter asks for."""
    found = filter_of(given)
    return Wanted(found["state"], found["tag"], found["path"], found["method"], found["user"])


def filter_of(given: Mapping[str, str]) -> dict[str, str]:
    """Return by what activities are chosen, each with a value."""
    found = {name: given.get(name, "").strip() for name in FILTERS}
    return found | {"path": found["path"].strip("/")}


def cancel_one(request: Request) -> Response:
    """Cancel an activity, and answer it."""
    return json_response(cancel(request.portal, request.matchdict["id"]).as_dict())


def retry_one(request: Request) -> Response:
    """Queue an activity once more, and answer it; 409 for one that has not failed."""
    return json_response(retry(request.portal, request.matchdict["id"]).as_dict())


def change_many(request: Request) -> Response:
    """Retry or cancel those of a list of ids, or all that match a filter; answer to how many it was done."""
    name, content = request.matched_route.name.rpartition("_")[2], json_object(request)
    ids, chosen = content.get("ids"), content.get("filter")
    if len(content) != 1 or not (_is_texts(ids) or isinstance(chosen, dict)):
        raise InvalidError(
            'Say either {"ids": [id, ...]} or {"filter": {"state", "tag", "path", "method", "user"}}'
        )
    if ids is None:
        outbox = Outbox.of(request.portal.root)
        ids = ids_to_change(outbox, request.user, name, wanted_of(_checked(chosen)))
    changed = change_all(request.site, request.user, name, ids)
    return json_response({"changed": changed, "skipped": len(ids) - changed})


def _is_texts(value: Any) -> bool:  # Any: JSON
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _checked(chosen: Any) -> dict[str, str]:  # Any: JSON
    for name, value in chosen.items():
        if name not in FILTERS:
            raise UnknownNameError("filter of activities", name, FILTERS)
        if not isinstance(value, str):
            raise InvalidError(f"{name} is a text")
    return dict(chosen)


def includeme(config: Configurator) -> None:
    """Register the views."""
    at = {"context": Document, "name": "activities"}
    config.add_view(start, request_method="POST", permission="activity", **at)
    config.add_view(known, request_method="GET", permission="view", **at)
    api = "/api/v1/activities"
    for name, path, method, view in (
        ("activities", api, "GET", show_all),
        ("activities_cancel", f"{api}/cancel", "POST", change_many),
        ("activities_retry", f"{api}/retry", "POST", change_many),
        ("activity", f"{api}/{{id}}", "GET", show),
        ("activity_cancel", f"{api}/{{id}}/cancel", "POST", cancel_one),
        ("activity_retry", f"{api}/{{id}}/retry", "POST", retry_one),
    ):
        config.add_route(name, path)
        permission = "view" if method == "GET" else "activity"
        config.add_view(view, route_name=name, request_method=method, permission=permission)
