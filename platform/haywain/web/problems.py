"""Errors: problem+json (RFC 9457) for programs, a page for people, both with the id of the request."""

import json
import logging
import secrets
from urllib.parse import quote

from pyramid.config import Configurator
from pyramid.exceptions import BadCSRFOrigin, BadCSRFToken, PredicateMismatch
from pyramid.httpexceptions import HTTPException, HTTPNotFound, HTTPSeeOther
from pyramid.renderers import render
from pyramid.request import Request
from pyramid.response import Response
from pyramid_retry import is_last_attempt
from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError

from haywain.document import Document, Module
from haywain.errors import (
    ExpiredError,
    HaywainError,
    MethodError,
    NotAcceptableError,
    OffsetError,
    RangeError,
    SequenceError,
    StorageTroubleError,
    TemporaryError,
    ThrottledError,
)
from haywain.security import may
from haywain.web.methods import methods_at
from haywain.web.pages.figures import plural
from haywain.web.pages.page import href_of, name_of

_log = logging.getLogger(__name__)

BASIC = 'Basic realm="Haywain", charset="UTF-8"'
"""How programs log in."""


def problem_body(status: int, title: str, detail: str, request_id: str) -> bytes:
    """Return an error as problem+json."""
    content = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    return json.dumps(content).encode()


def headers_of(error: HaywainError) -> list[tuple[str, str]]:
    """Return the headers that belong to an error."""
    if isinstance(error, TemporaryError | ThrottledError):
        return [("Retry-After", str(error.retry_after_s))]
    if isinstance(error, OffsetError):
        return [("Upload-Offset", str(error.actual))]
    if isinstance(error, SequenceError):
        return [] if error.due is None else [("Producer-Next", str(error.due))]
    if isinstance(error, RangeError):
        return [("Content-Range", f"bytes */{error.size}")]
    if isinstance(error, ExpiredError):
        return [("Stream-Start", str(error.start))]
    if isinstance(error, MethodError):
        return [("Allow", error.allowed)]
    if error.status == 401:
        return [("WWW-Authenticate", BASIC)]
    return []


def new_request_id() -> str:
    """Return an id by which a log line and an answer find each other."""
    return secrets.token_hex(8)


def wants_page(request: Request) -> bool:
    """Return whether a person with a browser asks."""
    return "text/html" in request.headers.get("Accept", "")


def problem(request: Request, status: int, title: str, detail: str) -> Response:
    """Return the answer of an error."""
    if wants_page(request):
        values = {
            "status": status,
            "heading": title,
            "detail": detail,
            "request_id": request.request_id,
            "back": _way_back(request),
        }
        body = render("haywain:templates/problem.jinja2", values, request=request).encode("utf-8", "replace")
        return Response(body, status=status, content_type="text/html", charset="utf-8")
    body = problem_body(status, title, detail, request.request_id)
    return Response(body, status=status, content_type="application/problem+json", charset=None)


def _way_back(request: Request) -> tuple[str, str]:
    """Return address and name of what the address began with, as far as the user may see that; else ""s."""
    context = getattr(request, "context", None)
    if not isinstance(context, Module | Document) or not _is_known(request):
        return "", ""
    if isinstance(context, Document):
        is_page = request.view_name and may(request.user, "view", context)
        return (href_of(context.path), name_of(context)) if is_page else ("", "")
    kinds = request.site.registry.portal_types.values()
    found = [cls for cls in kinds if cls.module_id == context.id and may(request.user, cls.view_permission)]
    return (href_of(context.id), plural(found[0].portal_type)) if found else ("", "")


def _haywain_error(error: HaywainError, request: Request) -> Response:
    if error.status == 401 and wants_page(request):
        return _to_login(request)
    if error.status >= 500 and is_last_attempt(request):
        _log.error("request %s: %s", request.request_id, error)
    response = problem(request, error.status, error.title, error.detail)
    response.headers.extend(headers_of(error))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = _challenge(request)
    return response


def _to_login(request: Request) -> Response:
    """Send a browser to the login, which leads back; from a form to the page where the form stands."""
    came_from = request.path_qs
    if request.method not in ("GET", "HEAD"):
        page, own = request.referer or "", request.host_url
        came_from = page.removeprefix(own) if page.startswith(f"{own}/") else "/"
    return HTTPSeeOther(f"/login?came_from={quote(came_from, safe='/')}")


def _is_known(request: Request) -> bool:
    try:
        return bool(request.portal.user.login)
    except HaywainError:
        return False


def _unauthorized(request: Request) -> Response:
    if wants_page(request):
        return _to_login(request)
    response = problem(request, 401, "Unauthorized", "Log in: send Basic credentials or a token")
    response.headers["WWW-Authenticate"] = _challenge(request)
    return response


def _challenge(request: Request) -> str:
    """Return how to log in; a script of a page gets no scheme for which a browser would ask by itself."""
    return 'Session realm="Haywain"' if "X-Requested-With" in request.headers else BASIC


def _forbidden(error: HTTPException, request: Request) -> Response:
    if not _is_known(request):
        return _unauthorized(request)
    return problem(request, 403, "Forbidden", "You may not do this here; ask a Manager for a role that may")


def _not_found(error: HTTPNotFound, request: Request) -> Response:
    """Answer 404; 405 or 406 where there is something, for another method or in other media types."""
    if not _is_known(request):
        return _unauthorized(request)
    allowed = methods_at(request) if isinstance(error, PredicateMismatch) else ()
    if not allowed:
        return problem(request, 404, "Not found", f"There is nothing at {request.path[:200]}")
    if not request.has_permission("view"):
        return _forbidden(error, request)
    if request.method in allowed:
        return _haywain_error(NotAcceptableError("What is here does not come in a type of Accept"), request)
    return _haywain_error(MethodError(request.method, allowed), request)


def _csrf(error: Exception, request: Request) -> Response:
    if not _is_known(request) and request.path != "/login":
        return _unauthorized(request)
    detail = "The form is too old or came from another site; load the page again and send it from there"
    return problem(request, 400, "Bad request", detail)


def _http(error: HTTPException, request: Request) -> Response:
    if error.status_int < 400:
        return error
    detail = error.detail or error.explanation or error.title
    return problem(request, error.status_int, error.title, detail)


def _conflict(error: Exception, request: Request) -> Response:
    return _haywain_error(TemporaryError("Too many changes at once; try again"), request)


def _no_text(error: UnicodeDecodeError, request: Request) -> Response:
    return problem(request, 400, "Bad request", "A value of the form is no UTF-8")


def _unexpected(error: Exception, request: Request) -> Response:
    if isinstance(error, OSError):
        trouble = StorageTroubleError(error)
        _log.error("request %s: %s", request.request_id, trouble, exc_info=not trouble.is_full)
        return _haywain_error(trouble, request)
    _log.exception("request %s failed: %s %s", request.request_id, request.method, request.path)
    detail = "This is a fault of the portal; its log says more under the id of the request"
    return problem(request, 500, "Internal error", detail)


def _request_id(request: Request) -> str:
    """Return the id that the server gave the request."""
    return str(request.environ.get("haywain.request_id", "")) or new_request_id()


def includeme(config: Configurator) -> None:
    """Register the answers of errors."""
    config.add_request_method(_request_id, "request_id", reify=True)
    config.add_exception_view(_haywain_error, context=HaywainError)
    config.add_forbidden_view(_forbidden)
    config.add_notfound_view(_not_found)
    config.add_exception_view(_csrf, context=BadCSRFToken)
    config.add_exception_view(_csrf, context=BadCSRFOrigin)
    config.add_exception_view(_http, context=HTTPException)
    config.add_exception_view(_conflict, context=ConflictError)
    config.add_exception_view(_conflict, context=TransientError)
    config.add_exception_view(_no_text, context=UnicodeDecodeError)
    config.add_exception_view(_unexpected, context=Exception)
