"""The WSGI application: ingestion in front, Pyramid behind it."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from pyramid.config import Configurator
from pyramid.request import Request
from transaction import TransactionManager

from haywain.errors import InvalidError
from haywain.past import Past
from haywain.portal import Portal, Site
from haywain.security import ANONYMOUS
from haywain.web.identity import identify
from haywain.web.ingest import IngestApplication, refuse

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_VIEWS = (
    "traversal",
    "identity",
    "problems",
    "health",
    "metrics",
    "login",
    "documents",
    "search",
    "data",
    "buckets",
    "slices",
    "activities",
    "jobs",
    "workers",
    "policies",
    "upkeep",
    "tus",
    "streamed",
    "past",
    "pages",
    "headers",
)


def make_application(site: Site) -> WSGI:
    """Return the WSGI application of a site."""
    pages = configure(site).make_wsgi_app()
    return IngestApplication(site, _with_text_only(_with_relative_locations(pages)))


def configure(site: Site) -> Configurator:
    """Return what Pyramid knows: views, routes, policies."""
    config = Configurator(root_factory=lambda request: request.portal.root, settings=_settings())
    config.registry["site"] = site
    config.include("pyramid_tm")
    config.include("pyramid_retry")
    config.include("pyramid_jinja2")
    config.add_request_method(_portal, "portal", reify=True)
    config.add_request_method(lambda request: request.portal.user, "user", reify=True)
    config.add_request_method(lambda request: request.registry["site"], "site", property=True)
    for name in _VIEWS:
        config.include(f"haywain.web.{name}")
    return config


def _settings() -> dict[str, Any]:
    return {
        "tm.manager_hook": lambda request: TransactionManager(explicit=True),
        "tm.annotate_user": False,
        "retry.attempts": 8,
        "jinja2.directories": "haywain:templates",
        "jinja2.trim_blocks": True,
        "jinja2.lstrip_blocks": True,
        "jinja2.undefined": "strict",
        "pyramid.default_locale_name": "en",
    }


def _portal(request: Request) -> Portal:
    """Open the request's session with the objects, in its transaction; then it is known who acts.

    Of an address of the past, a session with the objects as they were.
    """
    portal = Portal(request.registry["site"], ANONYMOUS, request.tm)
    request.add_finished_callback(lambda _request: portal.close())
    portal.user = identify(request, portal.root)
    portal.site.token_uses.note(portal.user)
    if not request.moment or not portal.user.login:
        return portal
    past = Past(portal.site, request.moment, portal.user)
    request.add_finished_callback(lambda _request: past.close())
    return past


def _with_text_only(application: WSGI) -> WSGI:
    """Refuse an address that is no UTF-8: Pyramid would meet it where no answer can be made any more."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            environ.get("PATH_INFO", "").encode("latin-1").decode()
            unquote_to_bytes(environ.get("QUERY_STRING", "").encode("latin-1")).decode()
        except UnicodeError:
            return refuse(InvalidError("The address is no UTF-8"), environ, start_response)
        return application(environ, start_response)

    return call


def _with_relative_locations(application: WSGI) -> WSGI:
    """Send `Location` as a path: WebOb adds scheme and host, which a proxy may have changed."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:  # Any: as WSGI has it
            return start_response(
                status, [(n, _path(v) if n == "Location" else v) for n, v in headers], *rest
            )

        own = Request(environ).host_url

        def _path(location: str) -> str:
            return location.removeprefix(own) if location.startswith(f"{own}/") else location

        return application(environ, start)

    return call
