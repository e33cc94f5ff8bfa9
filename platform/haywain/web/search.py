"""`GET /api/v1/search`: the catalog for programs."""

import json
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.catalog import Range
from haywain.errors import InvalidError, UnknownNameError
from haywain.portal import Hits

LIMIT = 20
_CONTROL = ("text", "sort", "limit", "cursor")


def search(request: Request) -> Response:
    """Answer `{"items", "count", "next"}`; `next` is the cursor of the next page, null on the last."""
    return Response(
        json.dumps(hits_json(request, {})).encode(), content_type="application/json", charset=None
    )


def hits_json(request: Request, fixed: dict[str, Any]) -> dict[str, Any]:  # Any: search values, JSON
    """Return a page of hits of the request's parameters, some of them fixed, as JSON."""
    hits = find(request, fixed)
    return {"items": [hit.as_dict() for hit in hits], "count": hits.count(), "next": hits.next or None}


def find(request: Request, fixed: dict[str, Any], limit: int = LIMIT, sort: str = "-modified") -> Hits:
    """Search by the request's parameters: `size=100..200` is a range, a repeated key is a list.

    Raises InvalidError or UnknownNameError, which name what is wrong.
    """
    control: dict[str, str] = {}
    where: dict[str, Any] = {}
    for name, value in request.GET.items():
        value = _range(name, value)
        if name in _CONTROL:
            control[name] = value
        elif name == "sort_on":  # what it is called in Python
            raise UnknownNameError("search key", name, _CONTROL)
        elif name in where:
            where[name] = [*where[name], value] if isinstance(where[name], list) else [where[name], value]
        else:
            where[name] = value
    where |= fixed
    order = tuple(key.strip() for key in control.get("sort", sort).split(",") if key.strip())
    hits: Hits = request.portal.catalog(
        text=control.get("text", ""),
        sort_on=order,
        limit=_limit(control.get("limit", ""), limit),
        cursor=control.get("cursor", ""),
        **where,
    )
    return hits


def _range(name: str, value: Any) -> Any:  # Any: search values
    if name in ("size", "created", "modified") and isinstance(value, str) and ".." in value:
        low, _, high = value.partition("..")
        return Range(low or None, high or None)
    return value


def _limit(value: str, default: int) -> int:
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise InvalidError("limit is a whole number between 1 and 1000")
    return int(value)


def reindex(request: Request) -> Response:
    """Build the catalog anew while everything goes on; answer the number of documents."""
    count = request.site.reindex()
    return Response(json.dumps({"documents": count}).encode(), content_type="application/json", charset=None)


def includeme(config: Configurator) -> None:
    """Register the search and the reindex."""
    config.add_route("search", "/api/v1/search")
    config.add_view(search, route_name="search", request_method="GET", permission="view")
    config.add_route("reindex", "/api/v1/reindex")
    config.add_view(reindex, route_name="reindex", request_method="POST", permission="manage")
