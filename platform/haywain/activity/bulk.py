"""Bulk: retry or cancel many activities, a hundred in a transaction, so that none is long."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from haywain.activity.job import cancel, retry, seen
from haywain.activity.listing import Wanted, matching
from haywain.activity.outbox import Outbox
from haywain.activity.record import Activity
from haywain.errors import NotFoundError, UnknownNameError
from haywain.security import User, require

if TYPE_CHECKING:
    from haywain.portal import Portal, Site

AT_ONCE = 100
"""Most activities that one transaction changes."""


@dataclass(frozen=True)
class Change:
    """What can be done to many, and to those in which states."""

    do: Callable[["Portal", str], Activity]
    states: tuple[str, ...]


CHANGES = {
    "retry": Change(retry, ("failed", "cancelled")),
    "cancel": Change(cancel, ("queued", "running", "failed")),
}


def change_of(name: str) -> Change:
    """Return a change by its name; raises UnknownNameError."""
    if name not in CHANGES:
        raise UnknownNameError("change of activities", name, CHANGES)
    return CHANGES[name]


def ids_to_change(outbox: Outbox, user: User, name: str, wanted: Wanted) -> list[str]:
    """Return those that match and that a change can be made to, the oldest first; raises UnknownNameError."""
    states = [one for one in change_of(name).states if wanted.state in ("", one)]
    matching(outbox, user, wanted)  # an unknown state is an error, not an empty list
    return sorted(id for one in states for id in matching(outbox, user, replace(wanted, state=one)))


def change_all(site: "Site", user: User, name: str, ids: list[str]) -> int:
    """Make a change to each that it can be made to; return to how many.

    Each hundred is a transaction of its own.  Raises UnknownNameError or ForbiddenError.
    """
    require(user, "activity")
    change = change_of(name)
    parts = [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
    return sum(site.transact(partial(_change, change=change, ids=part), user)[0] for part in parts)


def _change(portal: "Portal", change: Change, ids: list[str]) -> int:
    done = 0
    for id in dict.fromkeys(ids):
        try:
            record = seen(portal, id)
        except NotFoundError:
            continue
        if record.state in change.states and not record.is_cancelled:
            change.do(portal, id)
            done += 1
    return done
