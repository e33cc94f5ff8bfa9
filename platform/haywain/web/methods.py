"""Which HTTP methods an address knows, as the views that are registered say: there is no list to keep."""

from collections.abc import Iterable
from typing import Any

from pyramid.predicates import AcceptPredicate, RequestMethodPredicate
from pyramid.request import Request

METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS")
"""All that a view here may answer, in the order in which `Allow` names them."""

View = dict[str, Any]  # Any: an introspectable of Pyramid


def methods_at(request: Request) -> tuple[str, ...]:
    """Return the methods that a view answers at the address of a request, in whatever media type."""
    views = request.registry.introspector.get_category("views") or ()
    found: set[str] = set()
    for view in (item["introspectable"] for item in views):
        if _is_here(view, request):
            found |= _methods_of(view["request_methods"])
    return tuple(method for method in METHODS if method in found)


def _is_here(view: View, request: Request) -> bool:
    route = getattr(request, "matched_route", None)
    if view["route_name"] != (route.name if route else None) or view["name"] != request.view_name:
        return False
    others = (p for p in view["predicates"] if not isinstance(p, AcceptPredicate | RequestMethodPredicate))
    return _is_of(view["context"], request.context) and all(p(request.context, request) for p in others)


def _is_of(kind: Any, context: object) -> bool:  # Any: a class, an interface, or None for anything
    if kind is None:
        return True
    return bool(isinstance(context, kind) if isinstance(kind, type) else kind.providedBy(context))


def _methods_of(given: str | Iterable[str] | None) -> set[str]:
    """Return the methods that a view was registered for: all if it names none; HEAD goes with GET."""
    methods = set(METHODS) if given is None else {given} if isinstance(given, str) else set(given)
    return methods | {"HEAD"} if "GET" in methods else methods
