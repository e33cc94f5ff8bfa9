"""Canary: a tiny activity by which a portal on a shared database sees whether Workers are there.

One of the processes queues it now and then, ahead of all else.  If it has not been run for three periods,
nobody is there to run anything, unless all are busy.  There is never more than one, so that the archive does
not fill with them.
"""

from typing import TYPE_CHECKING

from persistent import Persistent

from haywain import clock
from haywain.activity.outbox import Outbox
from haywain.activity.presence import processes
from haywain.activity.shard import DEFAULT_QUEUE

if TYPE_CHECKING:
    from haywain.portal import Portal

PERIOD_S = 60.0
MISSED = 3


class Canary(Persistent):  # type: ignore[misc]  # persistent has no types
    """What is known of it, in `Outbox.canary`."""

    id: str = ""
    queued: float = 0.0
    ran: float = 0.0  # the one before


def tend(portal: "Portal") -> None:
    """Queue the canary if it is time, and none waits or runs."""
    outbox, now = Outbox.of(portal.root), clock.now_s()
    canary = outbox.canary
    if canary is None:
        canary = outbox.canary = Canary()
    if now < canary.queued + PERIOD_S / 2:  # each process asks once in a period, at some time in it
        return
    last = outbox.find(canary.id)
    if last is not None:
        if last.state in ("queued", "running"):
            return
        canary.ran = last.finished
        outbox.remove(last)
    person = next(iter(portal.root["person_module"].documents.values()))
    job = person.activate(priority=100, dedupe_key="canary", max_retries=0).queue("_canary", {})
    canary.id, canary.queued = job.id, now


def ran_s(outbox: Outbox) -> float:
    """Return when the canary was last run, in seconds since 1970; 0 if it never was."""
    if outbox.canary is None:
        return 0.0
    last = outbox.find(outbox.canary.id)
    return last.finished if last is not None and last.finished else outbox.canary.ran


def silent_since_s(outbox: Outbox) -> float | None:
    """Return since when nobody has run what is queued; None if somebody does, or is busy with other work."""
    canary = outbox.canary
    if canary is None or ran_s(outbox) >= canary.queued or clock.now_s() < canary.queued + MISSED * PERIOD_S:
        return None
    if any(
        process.is_alive and process.runs and process.serves(DEFAULT_QUEUE) for process in processes(outbox)
    ):
        return None
    return float(canary.queued)
