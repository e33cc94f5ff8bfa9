"""What stands around every page: who is logged in, where one can go, what needs attention."""

import logging
from dataclasses import dataclass

from pyramid.config import Configurator
from pyramid.csrf import get_csrf_token
from pyramid.events import BeforeRender
from pyramid.request import Request

from haywain.catalog import Query
from haywain.document import Document
from haywain.errors import ThrottledError, UnauthorizedError
from haywain.past import Past
from haywain.security import User, may
from haywain.web.pages.figures import Moment, plural

_log = logging.getLogger(__name__)

_FIRST = ("data_stream_module", "data_array_module", "data_product_module", "data_supply_module")
_BEFORE_ACTIVITIES = "data_array_module"
_LAST = ("portal_ingestion_policies", "quarantine_module", "person_module", "token_module")

MESSAGES = {
    "created": "Created.",
    "saved": "Saved.",
    "moved": "The state has changed.",
    "appended": "The file was appended.",
    "replaced": "The bytes were replaced.",
    "stored": "The file was stored.",
    "started": "It is queued; this page shows how far it is.",
    "queued": "It is queued.",
    "tested": "A test is on its way; the log tells what became of it.",
    "cancelled": "It is cancelled, or ends at its next step.",
    "retried": "It is queued once more.",
    "replayed": "Replayed: the bytes are in their stream now.",
}
"""What `?done=` may say; the text itself is never taken from the address."""


@dataclass(frozen=True)
class Destination:
    """An entry of the navigation; `badge` counts what waits there."""

    href: str
    title: str
    icon: str
    is_current: bool = False
    badge: int = 0


@dataclass(frozen=True)
class Chrome:
    """The values of `layout.jinja2`; without a login there is no navigation."""

    login: str = ""
    roles: str = ""
    csrf_token: str = ""
    destinations: tuple[Destination, ...] = ()
    message: str = ""
    text: str = ""
    then: Moment | None = None
    today_href: str = ""


def kinds_by_module(request: Request) -> dict[str, type[Document]]:
    """Return the kind that lives in each module the user may see, in the order of the navigation."""
    classes = request.site.registry.portal_types.values()
    found = {c.module_id: c for c in reversed(list(classes)) if may(request.user, c.view_permission)}
    middle = sorted(set(found) - set(_FIRST) - set(_LAST))
    return {id: found[id] for id in (*_FIRST, *middle, *_LAST) if id in found}


def waiting(request: Request) -> int:
    """Return how many requests are in quarantine."""
    query = Query({"portal_type": "Quarantine", "state": "quarantined"})
    count: int = request.portal.catalog_index.count(query)
    return count


def _chrome(request: Request) -> Chrome:
    try:
        return _filled(request)
    except (UnauthorizedError, ThrottledError):  # wrong credentials: the page says so
        return Chrome()
    except Exception as error:  # what broke a page breaks the navigation of the page that says so
        if request.exception is None:
            raise
        _log.warning("request %s: its error is shown without navigation: %s", request.request_id, error)
        return Chrome()


def _filled(request: Request) -> Chrome:
    user: User = request.user
    if not user.login:
        return Chrome(csrf_token=get_csrf_token(request))
    return Chrome(
        login=user.login,
        roles=", ".join(sorted(user.roles)) or "no role",
        csrf_token=get_csrf_token(request),
        destinations=_destinations(request),
        message=MESSAGES.get(request.GET.get("done", ""), ""),
        text=request.GET.get("text", "") if request.path == "/search" else "",
        then=Moment.at(request.portal.time.timestamp()) if isinstance(request.portal, Past) else None,
        today_href=request.path_info,
    )


def _destinations(request: Request) -> tuple[Destination, ...]:
    if not may(request.user, "view"):
        return ()
    here = request.path_info.strip("/").partition("/")[0]
    found = [Destination("/", "Home", "home", not here)]
    for id, cls in kinds_by_module(request).items():
        if not cls.in_navigation and here != id:
            continue
        badge = waiting(request) if cls.portal_type == "Quarantine" else 0
        found.append(Destination(f"/{id}", plural(cls.portal_type), cls.icon, here == id, badge))
        if id == _BEFORE_ACTIVITIES:
            found.append(Destination("/activities", "Activities", "activity", here == "activities"))
    return tuple(found)


def add_chrome(event: BeforeRender) -> None:
    """Give every template `chrome` and `asset`."""
    request = event["request"]
    if request is not None:
        event["chrome"] = _chrome(request)
        event["asset"] = request.registry["assets"].url


def includeme(config: Configurator) -> None:
    """Hand the values to all templates."""
    config.add_subscriber(add_chrome, BeforeRender)
