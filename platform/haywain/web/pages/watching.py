"""What watches a document: a part of the pages of arrays and streams."""

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
"""Alerts, or Data Analyses, that a page lists."""


@dataclass(frozen=True)
class Watcher:
    """An Alert or a Data Analysis in the list."""

    name: str
    href: str
    when: str
    condition: str


@dataclass(frozen=True)
class Watching:
    """The Alerts of a document, and the address of the form of a new one, "" where there is none.

    And the Data Analyses that work on it.
    """

    alerts: tuple[Watcher, ...]
    new_href: str
    analyses: tuple[Watcher, ...] = ()


def watching_of(document: Document, request: Request) -> Watching:
    """Return the Alerts on a document that this user may view, and the Data Analyses of it."""
    root = request.portal.root
    paths = Watchers.of(root).of_path(document.path) if "watchers" in root.tools else {}
    every = [one for path in paths if (one := visible_at(path, request)) is not None]
    alerts = [_watcher(one) for one in every if one.portal_type == "Alert"]
    analyses = [_analysis(one) for one in every if one.portal_type == "Data Analysis"]
    return Watching(tuple(alerts[:MOST]), _new_href(document, request), tuple(analyses[:MOST]))


def _analysis(analysis: Any) -> Watcher:  # Any: a Data Analysis, whose kind is content
    return Watcher(name_of(analysis), href_of(analysis.path), analysis.how_far, analysis.state)


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
