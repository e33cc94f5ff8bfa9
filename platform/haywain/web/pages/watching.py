"""Which Alerts watch a document, and the way to a new one: a part of the pages of arrays and streams."""

from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from pyramid.request import Request

from haywain.activity.watchers import Watchers
from haywain.document import Document
from haywain.interfaces import IArray
from haywain.past import Past
from haywain.security import may
from haywain.web.pages.document import visible_at
from haywain.web.pages.page import href_of, name_of

MOST = 20
"""Alerts that a page lists."""


@dataclass(frozen=True)
class Watcher:
    """An Alert in the list."""

    name: str
    href: str
    when: str
    condition: str


@dataclass(frozen=True)
class Watching:
    """The Alerts of a document, and the address of the form of a new one, "" where there is none."""

    alerts: tuple[Watcher, ...]
    new_href: str


def watching_of(document: Document, request: Request) -> Watching:
    """Return the Alerts on a document that this user may view."""
    root = request.portal.root
    paths = Watchers.of(root).of_path(document.path) if "watchers" in root.tools else {}
    found = [visible_at(path, request) for path in list(paths)[:MOST]]
    alerts = tuple(_watcher(one) for one in found if one is not None and one.portal_type == "Alert")
    return Watching(alerts, _new_href(document, request))


def _watcher(alert: Any) -> Watcher:  # Any: an Alert, whose kind is content
    return Watcher(name_of(alert), href_of(alert.path), alert.in_words, alert.condition)


def _new_href(document: Document, request: Request) -> str:
    """Return where an Alert of a document is made, if it holds something by itself that can be watched."""
    is_watchable = hasattr(document, "received")
    if not is_watchable or isinstance(request.portal, Past) or not may(request.user, "edit"):
        return ""
    watches = "threshold" if IArray.providedBy(document) else "silence"
    module = cast(Any, request.site.registry.portal_types["Alert"]).module_id
    return f"/{module}/new?{urlencode({'document': document.path, 'watches': watches})}"
