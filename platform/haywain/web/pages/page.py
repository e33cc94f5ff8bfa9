"""Register pages, and what they have in common: the head of a document, its state and its history."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document, Module
from haywain.security import may
from haywain.web.pages.figures import Moment, plural
from haywain.web.past import PREFIX
from haywain.workflow import WORKFLOWS, Transition

Values = dict[str, Any]
"""What a template gets.  Any: each template knows the types of its own names."""

_NEEDS_A_QUESTION = {
    "delete": "Delete this? It will no longer be listed.",
    "discard": "Discard this? It can not be replayed any more.",
    "invalidate": "Is this to end now?",
    "cancel": "Cancel this? It cannot be started again.",
}


@dataclass(frozen=True)
class Button:
    """A transition that the user may make now."""

    name: str
    title: str
    question: str
    is_dangerous: bool


@dataclass(frozen=True)
class Event:
    """A line of the history."""

    title: str
    user: str
    comment: str
    moment: Moment


@dataclass(frozen=True)
class Head:
    """What stands on top of a document's page."""

    href: str
    now_href: str
    path: str
    name: str
    title: str
    portal_type: str
    icon: str
    state: str
    module_href: str
    module_title: str
    may_edit: bool
    buttons: tuple[Button, ...]
    history: tuple[Event, ...]


def href_of(path: str) -> str:
    """Return the address of a document or module, on a page of the past as it was then."""
    return f"{PREFIX.get()}/{quote(path, safe='/')}"


def url_of(request: Request, path: str) -> str:
    """Return the whole address, as a program needs it."""
    return f"{request.host_url}{href_of(path)}"


def command_of(*parts: str) -> str:
    r"""Return a command for a shell, an option a line.

    >>> print(command_of("curl --user me", "http://localhost/"))
    curl --user me \
      http://localhost/
    """
    return " \\\n  ".join(parts)


def name_of(document: Document) -> str:
    """Return what people call it."""
    return str(document.reference) or document.title or document.id


def head_of(document: Document, request: Request) -> Head:
    """Return the head of a document as this user sees it."""
    module = document.module_id
    return Head(
        href=href_of(document.path),
        now_href=f"/{quote(document.path)}",
        path=document.path,
        name=name_of(document),
        title=document.title if document.title != name_of(document) else "",
        portal_type=document.portal_type,
        icon=document.icon,
        state=document.state,
        module_href=href_of(module),
        module_title=plural(document.portal_type),
        may_edit=document.is_editable and may(request.user, "edit", document),
        buttons=tuple(_button(t) for t in allowed_transitions(document, request)),
        history=_history(document),
    )


def allowed_transitions(document: Document, request: Request) -> list[Transition]:
    """Return the transitions that leave the state and that the user may make."""
    found = WORKFLOWS[document.workflow_name].allowed(document)
    return [t for t in found if may(request.user, t.permission, document)]


def _button(transition: Transition) -> Button:
    question = _NEEDS_A_QUESTION.get(transition.name, "")
    return Button(transition.name, transition.title, question, bool(question))


def _history(document: Document) -> tuple[Event, ...]:
    titles = {t.name: t.title for t in WORKFLOWS[document.workflow_name].transitions}
    made = Event("Created", document.owner, "", Moment.at(document.created))
    events = [
        Event(titles.get(name, name.capitalize()), user, comment, Moment.at(when))
        for name, user, comment, when in document.history
    ]
    return (*reversed(events), made)


def see(request: Request, path: str, done: str = "") -> Response:
    """Send the browser to a page, with a message of `chrome.MESSAGES`."""
    return HTTPSeeOther(href_of(path) + (f"?{urlencode({'done': done})}" if done else ""))


class PortalTypePredicate:
    """`portal_type="Person"`: a document of this kind, or the module in which it lives."""

    def __init__(self, portal_type: str, _info: object) -> None:
        """Hold for one Portal Type."""
        self._portal_type = portal_type

    def text(self) -> str:
        """Describe it."""
        return f"portal_type = {self._portal_type}"

    phash = text

    def __call__(self, context: object, request: Request) -> bool:
        """Return whether the context is of the kind."""
        if isinstance(context, Module):
            cls = request.site.registry.portal_types.get(self._portal_type)
            return cls is not None and bool(cls.module_id == context.id)
        return isinstance(context, Document) and context.portal_type == self._portal_type


def add_page(
    config: Configurator,
    view: Callable[..., Any],  # Any: values for the template, or a Response
    template: str,
    *,
    context: type | None = None,
    **options: Any,  # Any: Pyramid's options of a view
) -> None:
    """Register a page that shows a template; one without a name is for browsers, programs get JSON there."""
    options.setdefault("permission", "view")
    options.setdefault("request_method", "GET")
    if not options.get("name") and options["request_method"] == "GET" and "route_name" not in options:
        options["accept"] = "text/html"
    config.add_view(view, context=context, renderer=f"haywain:templates/{template}.jinja2", **options)


def includeme(config: Configurator) -> None:
    """Make `portal_type=` known to views."""
    config.add_view_predicate("portal_type", PortalTypePredicate)
