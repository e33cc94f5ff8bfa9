"""Home: what there is, what arrives now, what waits for somebody, how full the disk is."""

import shlex
from dataclasses import dataclass

from pyramid.config import Configurator
from pyramid.request import Request

from haywain.catalog import Query
from haywain.document import PortalRoot
from haywain.security import hidden_portal_types, may
from haywain.store.disk import free_bytes
from haywain.web.pages.cells import cells_of
from haywain.web.pages.chrome import kinds_by_module
from haywain.web.pages.figures import plural, size_text
from haywain.web.pages.modules import states_of
from haywain.web.pages.page import Values, add_page, command_of, href_of, url_of

LATEST = 8
_COLUMNS = ("reference", "size", "modified")


@dataclass(frozen=True)
class Tile:
    """A module and how much is in it."""

    href: str
    icon: str
    count: str
    title: str
    detail: str
    waits: bool = False


@dataclass(frozen=True)
class Disk:
    """How full the disk of the data directory is."""

    free: str
    total: str
    used_percent: int


def show(context: PortalRoot, request: Request) -> Values:
    """Show it."""
    kinds = request.site.registry.portal_types
    stream = kinds.get("Data Stream")
    states = [state for state in states_of(stream) if state != "deleted"] if stream else []
    hits = request.portal.catalog(portal_type="Data Stream", state=states, sort_on="-modified", limit=LATEST)
    free, total = free_bytes(request.site.path)
    return {
        "rows": tuple(cells_of(document, _COLUMNS) for document in hits),
        "tiles": _tiles(request),
        "disk": Disk(size_text(free), size_text(total), round(100 * (1 - free / total)) if total else 0),
        "command": _command(request),
        "may_add": may(request.user, "edit"),
    }


def _command(request: Request) -> str:
    """Return what sends the first bytes."""
    url = url_of(request, "portal_ingestion_policies/default/ingest") + "?reference=hello.world"
    kind = "--header 'Content-Type: application/octet-stream'"
    user = shlex.quote(request.user.login)
    return command_of(f"echo hello | curl --user {user}", kind, "--data-binary @-", f"'{url}'")


def _tiles(request: Request) -> tuple[Tile, ...]:
    index, registry = request.portal.catalog_index, request.site.registry.portal_types
    hidden = hidden_portal_types(request.user, registry.values())
    sums = index.sums("portal_type", Query(_listed(request), hidden=hidden))
    tiles = []
    for id, cls in kinds_by_module(request).items():
        if not cls.in_navigation:
            continue
        count, size = sums.get(cls.portal_type, (0, 0))
        waits = cls.portal_type == "Quarantine" and count > 0
        detail = size_text(size) if size else ""
        title = cls.portal_type if count == 1 else plural(cls.portal_type)
        tiles.append(Tile(href_of(id), cls.icon, f"{count:,}", title, detail, waits))
    return tuple(tiles)


def _listed(request: Request) -> Values:
    """Return the condition that a list has at first: nothing that is deleted or done with."""
    states = states_of(*request.site.registry.portal_types.values())
    return {"state": [state for state in states if state not in ("deleted", "discarded", "replayed")]}


def includeme(config: Configurator) -> None:
    """Register the page."""
    add_page(config, show, "home", context=PortalRoot)
