"""`/healthz`: the process answers.  `/readyz`: it can store."""

import json

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from sqlalchemy.exc import SQLAlchemyError

from haywain import clock
from haywain.activity.canary import silent_since_s
from haywain.activity.outbox import Outbox
from haywain.catalog import Query
from haywain.errors import DatabaseServerError
from haywain.store.disk import free_bytes, has_room


def healthz(request: Request) -> Response:
    """Answer, without looking at anything."""
    return Response(b"ok\n", content_type="text/plain", charset="utf-8")


def readyz(request: Request) -> Response:
    """Answer 200 when bytes can be stored and found, else 503; each check by name."""
    site = request.site
    has_database = _database_answers(request)
    checks = {
        "running": not site.stopping.is_set(),
        "database": has_database,
        "catalog": has_database and _catalog_answers(request),
        "disk": has_room(site.path),
    }
    free, total = free_bytes(site.path)
    told = {"ready": all(checks.values()), "checks": checks, "free_bytes": free, "total_bytes": total}
    if has_database and not site.is_sole:
        told["workers_silent_since"] = _silent_since(request)  # bytes can be stored all the same
    body = json.dumps(told)
    return Response(
        body.encode(),
        status=200 if all(checks.values()) else 503,
        content_type="application/json",
        charset=None,
    )


def _database_answers(request: Request) -> bool:
    try:
        return "portal" in request.portal.connection.root()
    except DatabaseServerError:
        return False


def _silent_since(request: Request) -> str | None:
    try:
        since_s = silent_since_s(Outbox.of(request.portal.root))
    except DatabaseServerError:
        return None
    return clock.iso(since_s) if since_s is not None else None


def _catalog_answers(request: Request) -> bool:
    try:
        return bool(request.portal.catalog_index.count(Query()) >= 0)
    except SQLAlchemyError:
        return False


def includeme(config: Configurator) -> None:
    """Register both for everybody."""
    for name, view in (("healthz", healthz), ("readyz", readyz)):
        config.add_route(name, f"/{name}", factory=lambda _request: None)
        config.add_view(view, route_name=name, request_method="GET", permission="__no_permission_required__")
