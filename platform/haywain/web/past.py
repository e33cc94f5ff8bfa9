"""`/@{moment}/...`: everything that can be read, as it was at a transaction or a time.

The moment becomes part of SCRIPT_NAME, so that routes, traversal and pages see the address that they know;
links of pages stay at the moment.  An answer never changes, so clients may keep it.
"""

import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.tweens import EXCVIEW

from haywain.document import Document
from haywain.errors import MethodError
from haywain.past import Past
from haywain.store.moment import moment_of

PREFIX: ContextVar[str] = ContextVar("PREFIX", default="")
"""What stands before the address of a document: `/@{moment}` while a page of the past is made."""

_ADDRESS = re.compile(r"/@([0-9][^/]{1,59})(/.*)?", re.DOTALL | re.ASCII)
_FOR_EVER = "private, max-age=31536000, immutable"


def tween(handler: Callable[[Request], Response], registry: Any) -> Callable[[Request], Response]:
    """Take the moment out of an address.  Any: Pyramid's registry."""

    def at_moment(request: Request) -> Response:
        found = _ADDRESS.fullmatch(request.path_info)
        if found is None:
            return handler(request)
        request.moment, request.path_info = found[1], found[2] or "/"
        request.script_name += f"/@{found[1]}"
        if request.method not in ("GET", "HEAD"):
            raise MethodError(request.method, ("GET", "HEAD"))
        prefix = PREFIX.set(f"/@{quote(found[1], safe=':')}")
        try:
            response = handler(request)
        finally:
            PREFIX.reset(prefix)
        if response.status_int in (200, 206) and response.content_type != "text/html":
            is_final = isinstance(request.portal, Past) and request.portal.is_final
            response.headers["Cache-Control"] = _FOR_EVER if is_final else "private, no-cache"
        return response

    return at_moment


def then(context: Document, request: Request) -> Response:
    """Lead from the form of a page, `?at=`, to the page as it was; a time without a zone is in UTC."""
    at = request.GET.get("at", "").strip()
    if not at:
        return HTTPSeeOther(f"/{quote(context.path)}")
    moment_of(at)
    return HTTPSeeOther(f"/@{quote(at, safe=':')}/{quote(context.path)}")


def includeme(config: Configurator) -> None:
    """Answer addresses of the past; `request.moment` is "" for those of today."""
    config.add_view(then, context=Document, name="then", request_method="GET", permission="view")
    config.add_request_method(lambda request: "", "moment", reify=True)
    config.add_tween("haywain.web.past.tween", under=EXCVIEW)
