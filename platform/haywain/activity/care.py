"""Care: what a portal does to its documents by itself.

A kind of work with `every_s` is asked now and then what is due (`Kind.due`), and that is queued as work of
the portal's own, once for each document however many processes ask.  Two ways lead to it without a look at
all documents: the catalog tells which changed since the last time, and documents say that they want to be
looked at (`wanted`).  A portal in which nothing is due writes nothing.
"""

import json
import logging
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, cast

from BTrees.OOBTree import OOBTree, OOTreeSet
from persistent import Persistent
from transaction.interfaces import TransientError

from haywain import clock
from haywain.activity.kind import Due
from haywain.activity.outbox import Outbox
from haywain.activity.record import Activity
from haywain.activity.timetable import queue_due
from haywain.errors import DatabaseServerError, NotFoundError

if TYPE_CHECKING:
    from haywain.activity.kind import Kind
    from haywain.document import Document, PortalRoot
    from haywain.portal import Portal, Site

AT_ONCE = 50
"""Most documents that one transaction queues work for."""

AGAIN_S = 86_400
"""So long after a failure the same work is tried again, though its document is as it was."""

_log = logging.getLogger(__name__)


class Care(Persistent):  # type: ignore[misc]  # persistent has no types
    """What is remembered of care, in `root.tools["care"]`."""

    def __init__(self) -> None:
        """Begin empty."""
        self.looked = OOBTree()  # name of a kind -> up to which moment it has looked, in seconds since 1970
        self.wanted = OOTreeSet()  # (name of a kind, path of a document)

    @classmethod
    def of(cls, root: "PortalRoot") -> "Care":
        """Return the care of a portal."""
        return cast(Care, root.tools["care"])

    def want(self, kind: str, path: str, is_wanted: bool = True) -> None:
        """Have a kind look at a document, or no longer."""
        if is_wanted:
            self.wanted.insert((kind, path))
        elif (kind, path) in self.wanted:
            self.wanted.remove((kind, path))

    def paths(self, kind: str) -> list[str]:
        """Return the paths that want a kind."""
        return [path for _, path in self.wanted.keys(min=(kind,), max=(f"{kind}\0",))]


def is_wanted(document: "Document", kind: str) -> bool:
    """Return whether a document wants a kind, as this transaction sees it."""
    module = document.__parent__
    root = module.__parent__ if module is not None else None
    return root is not None and "care" in root.tools and (kind, document.path) in Care.of(root).wanted


def want(document: "Document", kind: str, is_wanted: bool = True) -> None:
    """Have a kind look at a document that is in its module, or no longer."""
    module = document.__parent__
    root = module.__parent__ if module is not None else None
    if root is not None and "care" in root.tools:
        Care.of(root).want(kind, document.path, is_wanted)


def wanting(portal: "Portal", kind: str, due: Due) -> "Iterator[Document]":
    """Yield the documents that want a kind; those that were deleted are noted as such."""
    for path in Care.of(portal.root).paths(kind):
        try:
            yield portal[path]
        except NotFoundError:
            due.settled.append(path)


class Caretaker:
    """Asks the kinds of a site, each at its time."""

    def __init__(self, site: "Site") -> None:
        """Ask each at once."""
        self._site = site
        self._next: dict[str, float] = {}  # monotonic seconds

    def look(self) -> None:
        """Ask who is to be asked by now, and queue what is due; a failure is logged."""
        queue_due(self._site)
        for kind in self._site.registry.activities.values():
            if kind.every_s and time.monotonic() >= self._next.get(kind.name, 0.0):
                self._next[kind.name] = time.monotonic() + kind.every_s
                try:
                    if not self._ask(kind):
                        del self._next[kind.name]
                except (DatabaseServerError, TransientError) as error:  # it went meanwhile
                    del self._next[kind.name]
                    _log.warning("%s could not tell what is due: %s", kind.name, error)
                except Exception:  # of a kind that may be anybody's; the others are asked all the same
                    _log.exception("%s could not tell what is due; it is asked again later", kind.name)

    def _ask(self, kind: "Kind") -> bool:
        """Queue what is due; return whether that is all."""
        with self._site.open() as portal:
            due = kind.due(portal, float(Care.of(portal.root).looked.get(kind.name, 0.0)), clock.now_s())
        paths = iter([*due.found, *(path for path in due.settled if path not in due.found)])
        while some := list(islice(paths, AT_ONCE)):
            self._site.transact(partial(_queue, kind=kind, due=due, paths=some))
        if (due.found or not due.is_all) and due.looked_s:
            self._site.transact(partial(_note, kind=kind, due=due))
        return due.is_all


def _queue(portal: "Portal", kind: "Kind", due: Due, paths: list[str]) -> None:
    settled = frozenset(due.settled)
    for path in paths:
        parameters = due.found.get(path) if _is_there(portal, path) else None
        key = f"care {json.dumps(parameters, sort_keys=True)}"  # what users ask for has keys of its own
        if parameters is not None and _is_held_up(portal, portal[path], kind.name, key, path not in settled):
            continue  # if it wants it, it still does
        if path in settled and (not _is_there(portal, path) or kind.is_settled(portal[path])):
            Care.of(portal.root).want(kind.name, path, False)
        if parameters is not None:
            portal[path].activate(dedupe_key=key, is_kept=kind.is_kept).queue(kind.name, parameters)


def _is_held_up(portal: "Portal", document: "Document", kind: str, key: str, is_kept: bool) -> bool:
    """Return whether the last work under a key waits, or has failed since its document last changed.

    What fails would fail again, and its key is free as soon as a Worker has claimed it; a day later the
    reason may be gone.  What runs may be too late for what is due now: it counts only if the document is
    looked at again, since it still wants it.
    """
    last = _last(Outbox.of(portal.root), document, kind, key)
    if last is None:
        return False
    if last.state == "running":
        return is_kept and is_wanted(document, kind)
    if last.state == "failed":
        return last.finished >= max(document.modified, clock.now_s() - AGAIN_S)
    return last.state == "queued"


def _last(outbox: Outbox, document: "Document", kind: str, key: str) -> Activity | None:
    """Return the newest work of the portal's own on a document under a key."""
    wanted = (True, document.uid, kind, key)
    ids = {id for shard in outbox.shards for _, _, id in shard.named("path", document.path)}
    for id in sorted(ids, reverse=True):
        record = outbox.find(id)
        if record is not None and (record.is_systems, record.uid, record.method, record.dedupe_key) == wanted:
            return record
    return None


def _is_there(portal: "Portal", path: str) -> bool:
    try:
        return bool(portal[path].path)
    except NotFoundError:
        return False


def _note(portal: "Portal", kind: "Kind", due: Due) -> None:
    looked = Care.of(portal.root).looked
    if due.looked_s > looked.get(kind.name, 0.0):
        looked[kind.name] = due.looked_s
