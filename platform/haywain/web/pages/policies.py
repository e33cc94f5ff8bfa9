"""The page of an Ingestion Policy: what its rule does, where to send, and configurations to copy."""

import inspect
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pyramid.config import Configurator
from pyramid.request import Request

from haywain.document import Document
from haywain.errors import UnknownNameError
from haywain.ingestion.fast_input import arrivals, quarantined
from haywain.security import may
from haywain.web.configurations import configurations_of
from haywain.web.pages.arrivals import coming
from haywain.web.pages.document import facts_of
from haywain.web.pages.figures import Moment, count_text, size_text
from haywain.web.pages.page import Values, add_page, head_of, href_of, name_of, url_of

MOST_COUNTED = 500
"""So many of the latest in quarantine are looked at: the policy is no column of the catalog."""

MOST_SHOWN = 5
"""So many sinks, and requests in quarantine, are named."""


@dataclass(frozen=True)
class Arrived:
    """A sink into which something came."""

    href: str
    name: str
    size: str
    moment: Moment


@dataclass(frozen=True)
class Kept:
    """A request that is in quarantine."""

    href: str
    tag: str
    reason: str
    moment: Moment


def show(context: Document, request: Request) -> Values:
    """Show a policy."""
    title, rule = _rule(context, request)
    kept, is_all = quarantined(request.portal, context, MOST_COUNTED)
    return {
        "head": head_of(context, request),
        "url": f"{url_of(request, f'{context.path}/ingest')}?reference=TAG",
        "title": title,
        "rule": rule,
        "is_on": context.state not in ("invalidated", "deleted"),
        "problem": _problem(context, request),
        "facts": facts_of(context, request),
        "coming": coming(context, request),
        "waiting": _waiting(len(kept), is_all),
        "recent": tuple(_kept(one) for one in kept[:MOST_SHOWN]),
        "configurations": configurations_of(request, context),
        "token_href": _token_href(context) if may(request.user, "manage") else "",
        **_arrivals(context, request),
    }


def _arrivals(policy: Document, request: Request) -> Values:
    """Return what has come to a policy with sinks of its own."""
    if not policy.linked("specialise"):
        return {"arrivals": None, "sinks": ()}
    found = arrivals(request.portal, policy)
    shown = [
        Arrived(href_of(sink.path), name_of(sink), size_text(sink.size), Moment.at(sink.modified))
        for sink in found.sinks[:MOST_SHOWN]
    ]
    return {"arrivals": found, "sinks": tuple(shown)}


def _problem(policy: Document, request: Request) -> str:
    """Return why the file of the policy's rule cannot be used, to those who may know where files lie."""
    rule = str(getattr(policy, "rule", policy.id))
    problem: str = request.site.registry.problem_of(rule) if may(request.user, "manage") else ""
    return problem


def _kept(found: Any) -> Kept:  # Any: a Quarantine, which this layer does not import
    given = found.properties
    return Kept(href_of(found.path), given.tag or "(none)", given.reason[:200], Moment.at(found.created))


def _rule(policy: Document, request: Request) -> tuple[str, tuple[str, ...]]:
    """Return the title of the policy's rule and what its docstring says, paragraph by paragraph."""
    name = str(getattr(policy, "rule", policy.id))
    try:
        rule = request.site.registry.rule(name)
    except UnknownNameError as error:
        return "", (error.detail,)
    text = (inspect.getdoc(type(rule)) or "").replace("`", "")
    return rule.title, tuple(" ".join(part.split()) for part in text.split("\n\n"))


def _waiting(count: int, is_all: bool) -> str:
    """Return how many requests to this policy are in quarantine; "" for none."""
    text = count_text(count, "request")
    return (text if is_all else f"At least {text}") if count else ""


def _token_href(policy: Document) -> str:
    return f"{href_of('token_module')}/new?scopes={quote(f'ingest:{policy.id}', safe='')}"


def includeme(config: Configurator) -> None:
    """Register the page."""
    add_page(config, show, "ingestion_policy", context=Document, portal_type="Ingestion Policy")
