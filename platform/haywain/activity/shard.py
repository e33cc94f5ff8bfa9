"""Shard: a sixteenth of the Outbox, so that transactions that touch different activities seldom meet.

Two trees with one entry per activity and purpose, sorted so that each question is one look at an edge:

    order   (phase, key, id)     where each activity stands, exactly once:
            ready     -priority              may be claimed; `ready QUEUE` in another queue than the default
            later     time                   not before it: asked for so, or after a failure
            held      (after_tag, -priority) until no activity holds the tag
            lined     (serialization tag, -priority)   until the one that has it ends
            claimed   time                   a Worker runs it
            done, failed, cancelled   time   ended; the archive
    names   (kind, name, id)     tag, path, login, method: to list by; holds: the tags of what has not ended
                             well; group: what is ready, and may be run with others
"""

import re
from collections.abc import Iterator
from typing import Any

from BTrees.OOBTree import OOBTree, OOTreeSet
from persistent import Persistent

from haywain.activity.record import Activity

Entry = tuple[str, Any, str]  # Any: see above; one phase has one type


_NEXT = "\0"  # a name and this sorts after all that begins with the name alone
_READY, _AFTER_READY = "ready", "ready!"  # between them "ready" and all that begin with "ready "

DEFAULT_QUEUE = "default"


_QUEUE = re.compile(r"[a-z0-9_-]{1,100}", re.ASCII)


def check_queue(name: str) -> str:
    """Return the name of a queue; raises ValueError for what cannot be one.

    >>> check_queue("gpu")
    'gpu'
    """
    if not _QUEUE.fullmatch(name):
        raise ValueError(f"a queue is named by a-z, 0-9, _ and -, not {name!r:.100}")
    return name


def ready_phase(queue: str) -> str:
    """Return the phase of what may be claimed in a queue.

    >>> ready_phase("default"), ready_phase("gpu")
    ('ready', 'ready gpu')
    """
    return _READY if queue == DEFAULT_QUEUE else f"{_READY} {queue}"


def is_ready(place: tuple[str, Any]) -> bool:  # Any: see `Entry`
    """Return whether what stands in a place may be claimed, in whichever queue."""
    return place[0].partition(" ")[0] == _READY


def queue_of(phase: str) -> str:
    """Return the queue of a phase of what may be claimed."""
    return phase.partition(" ")[2] or DEFAULT_QUEUE


class Serial(Persistent):  # type: ignore[misc]  # persistent has no types
    """A serialization tag: who has it.

    Each transaction that takes or frees it writes it, so that of two only one can commit.
    """

    holder: str = ""


class Shard(Persistent):  # type: ignore[misc]  # persistent has no types
    """Activities, their places and names; and the dedupe keys and serialization tags that fall here."""

    def __init__(self) -> None:
        """Begin empty."""
        self.activities = OOBTree()
        self.order = OOTreeSet()
        self.names = OOTreeSet()
        self.keys = OOBTree()
        self.serials = OOBTree()

    def first(self, phase: str, name: str | None = None) -> Entry | None:
        """Return the first place of a phase, or of those that wait at one tag."""
        return next(self.places(phase, name), None)

    def places(self, phase: str, name: str | None = None) -> Iterator[Entry]:
        """Yield the places of a phase, or of those that wait at one tag; not to be changed meanwhile."""
        if name is None:
            yield from self.order.keys(min=(phase,), max=(phase + _NEXT,))
        else:
            yield from self.order.keys(min=(phase, (name,)), max=(phase, (name + _NEXT,)))

    def ready(self) -> Iterator[Entry]:
        """Yield the places of all queues of what may be claimed; not to be changed meanwhile."""
        yield from self.order.keys(min=(_READY,), max=(_AFTER_READY,))

    def ready_firsts(self, queues: frozenset[str]) -> Iterator[Entry]:
        """Yield the first place of each of these queues, of all there are if none is named."""
        if queues:
            yield from (found for queue in queues if (found := self.first(ready_phase(queue))) is not None)
            return
        found = next(self.ready(), None)
        while found is not None:
            yield found
            found = next(iter(self.order.keys(min=(found[0] + _NEXT,), max=(_AFTER_READY,))), None)

    def before(self, phase: str, time_s: float) -> Iterator[Entry]:
        """Yield the places of a phase that is sorted by time, those before a time."""
        yield from self.order.keys(min=(phase,), max=(phase, time_s))

    def named(self, kind: str, name: str) -> Iterator[Entry]:
        """Yield the names of one kind, oldest activity first."""
        yield from self.names.keys(min=(kind, name), max=(kind, name + _NEXT))

    def gates(self, phase: str) -> Iterator[str]:
        """Yield each tag at which activities of a phase (held, lined) wait, once."""
        found = self.first(phase)
        while found is not None:
            name = found[1][0]
            yield name
            rest = self.order.keys(min=(phase, (name + _NEXT,)), max=(phase + _NEXT,))
            found = next(iter(rest), None)

    def move(self, record: Activity, place: tuple[str, Any]) -> None:  # Any: see `Entry`
        """Give an activity another place."""
        old = (*record.place, record.id)
        if old in self.order:
            self.order.remove(old)
        record.place = place
        self.order.add((*place, record.id))

    def forget(self, entry: Entry, record: Activity) -> None:
        """Remove what the trees say of an activity whose record is lost; looks at all of them."""
        id = entry[2]
        for name in [name for name in self.names if name[2] == id]:
            self.names.remove(name)
        for key in [key for key, found in self.keys.items() if found is record]:
            del self.keys[key]
        if entry in self.order:
            self.order.remove(entry)
            del self.activities[id]
