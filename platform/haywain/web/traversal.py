"""From an address to a document: `/{module}/{id}/{page}`.

Pyramid's own traverser asks whatever can be indexed for the next part of the path; an array can be indexed,
and its fields may have any name.  Here the path ends at the document, and what follows names a page.
"""

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.interfaces import ITraverser
from pyramid.request import Request
from pyramid.traversal import traversal_path_info
from zope.interface import implementer

from haywain.document import Module, PortalRoot
from haywain.errors import NotFoundError

View = Callable[[Any, Request], Any]
"""Any: a context and what a view returns."""


@implementer(ITraverser)
class Traverser:
    """Walks from the root of a request; of a request that a route has matched the root is the context."""

    def __init__(self, root: Any) -> None:  # Any: what the root factory gave, None for static files
        """Begin at a root."""
        self._root = root

    def __call__(self, request: Request) -> dict[str, Any]:
        """Return context, name of the page and what follows it; raises URLDecodeError."""
        path = "" if request.matched_route is not None else request.environ.get("PATH_INFO", "/")
        segments = traversal_path_info(path or "/")
        context, walked = self._root, 0
        while walked < len(segments) and isinstance(context, PortalRoot | Module):
            try:
                context = context[segments[walked]]
            except KeyError:
                break
            walked += 1
        rest = segments[walked:]
        return {
            "context": context,
            "view_name": rest[0] if rest else "",
            "subpath": rest[1:],
            "traversed": segments[:walked],
            "virtual_root": self._root,
            "virtual_root_path": (),
            "root": self._root,
        }


def _only_what_there_is(view: View, info: Any) -> View:  # Any: Pyramid has no types
    """Refuse an address that goes on behind the page, unless the view takes that: `takes_subpath=True`."""
    if info.options.get("takes_subpath") or info.exception_only:
        return view

    def found(context: Any, request: Request) -> Any:
        if getattr(request, "subpath", ()):
            raise NotFoundError(f"There is nothing at {request.path[:200]!r}")
        return view(context, request)

    return found


_only_what_there_is.options = ("takes_subpath",)  # type: ignore[attr-defined]  # as Pyramid has it


def includeme(config: Configurator) -> None:
    """Use it for all requests."""
    config.add_traverser(Traverser)
    config.add_view_deriver(_only_what_there_is)
