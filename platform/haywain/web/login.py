"""Log in and out: a form, and a session on the server whose secret is new with each login."""

import re
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response

from haywain.errors import ThrottledError, UnauthorizedError
from haywain.security.accounts import Logins
from haywain.web.identity import COOKIE, checked_password, set_cookie
from haywain.web.pages.forms import text_in


def show(request: Request) -> dict[str, Any]:
    """Show the form."""
    return {"came_from": _local(request.GET.get("came_from", "/")), "login": "", "error": ""}


def log_in(request: Request) -> Response | dict[str, Any]:
    """Begin a session, or show the form again with what is wrong."""
    login, password = text_in(request.POST, "login"), text_in(request.POST, "password")
    came_from = _local(text_in(request.POST, "came_from"))
    root = request.portal.root
    try:
        user = checked_password(root, login, password, request.remote_addr or "")
    except (UnauthorizedError, ThrottledError) as error:
        request.response.status_int = error.status
        return {"came_from": came_from, "login": login, "error": error.detail}
    logins = Logins(root)
    logins.end(request.cookies.get(COOKIE, ""))
    hours = request.site.settings.session_hours
    response = HTTPSeeOther(came_from)
    set_cookie(request, response, COOKIE, logins.begin(user.login, hours), hours * 3600)
    return response


def log_out(request: Request) -> Response:
    """End the session, on the server too."""
    Logins(request.portal.root).end(request.cookies.get(COOKIE, ""))
    response = HTTPSeeOther("/login")
    response.delete_cookie(COOKIE, path="/")
    return response


def _local(target: str) -> str:
    """Return a path on this site: an open redirect would help whoever phishes."""
    is_local = re.fullmatch(
        r"/(?!/)[!-\[\]-~]*", target
    )  # no backslash, blank or control: browsers mend them
    return target if is_local and not target.startswith("/login") else "/"


def includeme(config: Configurator) -> None:
    """Register the form for everybody."""
    config.add_route("login", "/login")
    config.add_route("logout", "/logout")
    form = {"route_name": "login", "renderer": "haywain:templates/login.jinja2"}
    everybody = "__no_permission_required__"
    config.add_view(show, request_method="GET", permission=everybody, **form)
    config.add_view(log_in, request_method="POST", permission=everybody, **form)
    config.add_view(log_out, route_name="logout", request_method="POST", permission=everybody)
