"""Timetable: when each Schedule is due next, in `root.tools["schedules"]`.

The transaction that queues the activity moves the next time too, so that of two processes that find it due
one conflicts, looks again, and finds it moved.  To look costs one edge of a tree; where nothing is due
nothing is written.  A Schedule that was deleted loses its entry when that is due.
"""

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from BTrees.OOBTree import OOTreeSet
from persistent import Persistent

from haywain import clock
from haywain.errors import NotFoundError

if TYPE_CHECKING:
    from haywain.document import PortalRoot
    from haywain.portal import Portal, Site

Entry = tuple[float, str]
"""When, in seconds since 1970 UTC, and the path of a Schedule."""

_log = logging.getLogger(__name__)


class Timetable(Persistent):  # type: ignore[misc]  # persistent has no types
    """When each Schedule of a portal is due next."""

    def __init__(self) -> None:
        """Begin empty."""
        self.entries = OOTreeSet()

    @classmethod
    def of(cls, root: "PortalRoot") -> "Timetable":
        """Return the timetable of a portal."""
        return cast(Timetable, root.tools["schedules"])

    def move(self, path: str, before_s: float, after_s: float) -> None:
        """Have a Schedule be due at another time; 0 is never."""
        if (before_s, path) in self.entries:
            self.entries.remove((before_s, path))
        if after_s:
            self.entries.add((after_s, path))

    def due(self, now_s: float) -> list[Entry]:
        """Return what is due by now, the longest due first."""
        return list(self.entries.keys(max=(now_s, "\U0010ffff")))


def queue_due(site: "Site") -> None:
    """Have each Schedule that is due queue its activity; one that cannot at all is logged."""
    with site.open() as portal:
        due = Timetable.of(portal.root).due(clock.now_s())
    for entry in due:
        try:
            site.transact(partial(_queue, entry=entry))
        except Exception:  # whatever one meets, the others are due too
            _log.exception("%s could not be looked at; it is tried again", entry[1])


def _queue(portal: "Portal", entry: Entry) -> None:
    table, (at_s, path) = Timetable.of(portal.root), entry
    if entry not in table.entries:
        return  # another process was quicker
    schedule = _at(portal, path)
    if schedule is None or schedule.next_run != at_s:
        table.entries.remove(entry)
    else:
        schedule.run_due()


def _at(portal: "Portal", path: str) -> Any:  # Any: a Schedule, of a layer above
    try:
        return portal[path]
    except NotFoundError:
        return None
