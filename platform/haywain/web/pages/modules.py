"""The documents of a module, and the search over all of them: words or a pattern, sorted, page by page."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.request import Request

from haywain.catalog.query import SEARCHABLE
from haywain.document import Document, Module, PortalRoot
from haywain.errors import NotFoundError
from haywain.portal import Hits
from haywain.security import may
from haywain.web.pages.cells import Cell, cells_of, columns_of, title_of
from haywain.web.pages.chrome import kinds_by_module
from haywain.web.pages.figures import count_text, plural
from haywain.web.pages.page import Values, add_page, href_of
from haywain.workflow import WORKFLOWS

PER_PAGE = 50
_HIDDEN = ("deleted", "discarded", "replayed")


@dataclass(frozen=True)
class Heading:
    """The head of a column; `href` sorts by it, `direction` says that it is sorted by."""

    name: str
    title: str
    href: str = ""
    direction: str = ""


@dataclass(frozen=True)
class Choice:
    """A value that may be chosen in a filter."""

    value: str
    title: str
    is_chosen: bool


@dataclass(frozen=True)
class Listing:
    """A page of documents, and the state that its address carries."""

    headings: tuple[Heading, ...]
    rows: tuple[tuple[Cell, ...], ...]
    count: str
    text: str
    sort: str
    states: tuple[Choice, ...]
    kinds: tuple[Choice, ...]
    next_href: str
    first_href: str
    is_filtered: bool


def listing(
    request: Request, columns: tuple[str, ...], where: Values, states: list[str], sort: str
) -> Listing:
    """Return the page of documents that the address asks for; raises InvalidError for what makes no sense."""
    given = {name: request.GET.get(name, "") for name in ("text", "sort", "state", "kind", "cursor")}
    sort = given["sort"] or sort
    hits = _find(request, given, where | _state(given["state"], states), sort)
    kept = {name: value for name, value in given.items() if value and name != "cursor"}
    follow = urlencode(kept | {"cursor": hits.next})
    return Listing(
        headings=tuple(_heading(name, sort, kept) for name in columns),
        rows=tuple(cells_of(document, columns) for document in hits),
        count=count_text(hits.count(), "document"),
        text=given["text"],
        sort=given["sort"],
        states=_choices(given["state"], ["Current", *states, "Every state"]),
        kinds=_choices(
            given["kind"], ["Every kind", *(c.portal_type for c in kinds_by_module(request).values())]
        ),
        next_href=f"{request.path}?{follow}" if hits.next else "",
        first_href=f"{request.path}?{urlencode(kept)}" if given["cursor"] else "",
        is_filtered=bool(given["text"] or given["state"] or given["kind"]),
    )


def _find(request: Request, given: dict[str, str], where: Values, sort: str) -> Hits:
    text = given["text"].strip()
    if "%" in text:
        where, text = where | {"reference": text}, ""
    if given["kind"]:
        where = where | {"portal_type": given["kind"]}
    hits: Hits = request.portal.catalog(
        text=text, sort_on=(sort,), limit=PER_PAGE, cursor=given["cursor"], **where
    )
    return hits


def _state(chosen: str, states: list[str]) -> Values:
    """Return the condition on the state: what is done with is left out unless it is asked for."""
    if chosen == "all":
        return {}
    return {"state": chosen or [state for state in states if state not in _HIDDEN]}


def _choices(chosen: str, titles: list[str]) -> tuple[Choice, ...]:
    values = {titles[0]: "", "Every state": "all"}
    pairs = [(values.get(title, title), title) for title in titles]
    return tuple(Choice(value, title[:1].upper() + title[1:], value == chosen) for value, title in pairs)


def _heading(name: str, sort: str, kept: dict[str, str]) -> Heading:
    title = title_of(name)
    if name not in SEARCHABLE:
        return Heading(name, title)
    is_sorted, is_descending = sort.lstrip("-") == name, sort.startswith("-")
    begins_low = name not in ("size", "modified", "created")
    other = name if (is_descending if is_sorted else begins_low) else f"-{name}"
    direction = ("descending" if is_descending else "ascending") if is_sorted else ""
    return Heading(name, title, f"?{urlencode(kept | {'sort': other})}", direction)


def states_of(*kinds: type[Document]) -> list[str]:
    """Return all states that documents of these kinds may have, in the order of their workflows."""
    found: dict[str, None] = {}
    for cls in kinds:
        workflow = WORKFLOWS[cls.workflow_name]
        found |= dict.fromkeys([workflow.initial, *(t.target for t in workflow.transitions)])
    return list(found)


def show_module(context: Module, request: Request) -> Values:
    """Show the documents of a module."""
    cls = kinds_by_module(request).get(context.id)
    if cls is None:
        raise NotFoundError(f"There is no module {context.id!r}")
    sort = "-created" if cls.portal_type == "Quarantine" else "-modified"
    found = listing(request, columns_of(cls.portal_type), {"module": context.id}, states_of(cls), sort)
    may_add = cls.is_addable and may(request.user, cls.edit_permission)
    return {
        "heading": plural(cls.portal_type),
        "kind": cls.portal_type,
        "icon_name": cls.icon,
        "listing": found,
        "new_href": f"{href_of(context.id)}/new" if may_add else "",
        "is_search": False,
        "problems": _problems(request) if cls.portal_type == "Ingestion Policy" else (),
    }


def _problems(request: Request) -> tuple[str, ...]:
    """Return why files of rules cannot be used, of those that have changed since the start."""
    return tuple(request.site.registry.problems.values()) if may(request.user, "manage") else ()


def search(context: PortalRoot, request: Request) -> Values:
    """Search all documents."""
    kinds = kinds_by_module(request)
    columns: tuple[str, ...] = ("reference", "portal_type", "size", "state", "modified")
    told = [cls.portal_type for cls in kinds.values() if cls.in_search]
    where: dict[str, Any] = {"portal_type": told}  # Any: search values
    found = listing(request, columns, where, states_of(*kinds.values()), "-modified")
    return {
        "heading": "Search",
        "kind": "",
        "icon_name": "search",
        "listing": found,
        "new_href": "",
        "is_search": True,
        "problems": (),
    }


def includeme(config: Configurator) -> None:
    """Register the list of every module, and the search."""
    add_page(config, show_module, "module", context=Module)
    config.add_route("search_page", "/search")
    add_page(config, search, "module", route_name="search_page")
