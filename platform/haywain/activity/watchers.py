"""Watchers: which documents want to look when another one changes, in `root.tools["watchers"]`.

An append asks this in its transaction: one look into a tree that is cached, empty in most portals.  Those who
watch look afterwards, at most once a second each, so that they cost whoever appends no conflict.  Somebody
who begins to watch beside an append is not told of it, nor is anyone if the process dies right then: who
watches also looks by itself now and then.
"""

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from BTrees.OOBTree import OOBTree
from persistent import Persistent

from haywain import clock
from haywain.activity.afterwards import activate_afterwards, do_afterwards
from haywain.document import Document

if TYPE_CHECKING:
    from haywain.document import PortalRoot
    from haywain.portal import Site

REST_S = 1.0
"""What changes within so many seconds is looked at together."""

AHEAD_S = 0.2
"""A look that begins so much later is spared to be asked for again: another machine's clock may differ."""


class Watchers(Persistent):  # type: ignore[misc]  # persistent has no types
    """Who watches what."""

    def __init__(self) -> None:
        """Begin empty."""
        self.pairs = OOBTree()  # (path of what is watched, path of who watches) -> whether it is told

    @classmethod
    def of(cls, root: "PortalRoot") -> "Watchers":
        """Return the watchers of a portal."""
        return cast(Watchers, root.tools["watchers"])

    def watch(self, watched: str, watcher: str, is_told: bool = True) -> None:
        """Begin to watch; who is not told of changes looks by itself only."""
        self.pairs[(watched, watcher)] = is_told

    def leave(self, watched: str, watcher: str) -> None:
        """Watch no longer."""
        self.pairs.pop((watched, watcher), None)

    def of_path(self, watched: str) -> dict[str, bool]:
        """Return the paths of those who watch what lies at a path, and whether each is told of changes."""
        found = self.pairs.items(min=(watched,), max=(f"{watched}\0",))
        return {watcher: is_told for (_, watcher), is_told in found}


def tell_watchers(document: Document) -> None:
    """Have those who watch a document look, once this transaction has committed."""
    module = document.__parent__
    root = module.__parent__ if module is not None else None
    if root is None or "watchers" not in root.tools:
        return
    watchers = Watchers.of(root)
    if not watchers.pairs:
        return
    for path, is_told in watchers.of_path(document.path).items():
        name, _, id = path.partition("/")
        watcher = root[name].documents.get(id) if is_told else None
        if watcher is not None and hasattr(watcher, "look_soon"):
            do_afterwards(watcher, "look_soon", _look_soon, partial(_is_not_asked, path=path))
        elif watcher is not None:
            at = datetime.fromtimestamp(clock.now_s() + REST_S, UTC)
            options = {"serialization_tag": path, "at": at, "is_kept": False}
            activate_afterwards(watcher, "look", dedupe_key="changed", **options)


def _is_not_asked(site: "Site", path: str) -> bool:
    """Return whether no look is queued that begins later: it will see what has been committed by now."""
    return site.asked.get(path, 0.0) < clock.now_s() + AHEAD_S


def _look_soon(watcher: Any) -> None:  # Any: a kind that says itself how it looks
    watcher.look_soon()
