"""Sweeper: finds what nobody told of: claims of dead Workers, open gates, circles, old archives, what is due.

Each part reads first, and writes only where there is something: a portal at rest writes nothing.
"""

import time
from itertools import islice
from typing import TYPE_CHECKING

from haywain import clock
from haywain.activity.deadlock import fail_deadlocked
from haywain.activity.ending import bury, give_back, leave
from haywain.activity.outbox import AT_ONCE, Outbox, Ready
from haywain.activity.process import is_dead
from haywain.activity.watchdog import HEARTBEAT_S

if TYPE_CHECKING:
    from haywain.activity.workers import Workers
    from haywain.portal import Portal

SWEEP_S = 5.0
MISSED_BEATS = 3
CIRCLES_S, CIRCLES_SHARE = 0.05, 0.02
"""A look for circles that takes longer than this, where ten thousands wait, takes this share of the time."""
_DAY_S = 86_400


def sweep(workers: "Workers") -> None:
    """Look at everything once."""
    site = workers.site
    running = frozenset(id for guard in workers.guards() for id in guard.claims)
    judges = site.has_watched(MISSED_BEATS * HEARTBEAT_S)
    site.transact(lambda portal: take_back(portal, workers.process, running, site.is_sole, judges))
    while site.transact(_open_gates)[0] or site.transact(_drop_old)[0]:
        pass
    began = time.monotonic()
    if began >= workers.circles_next:
        while site.transact(fail_deadlocked)[0]:
            pass
        took_s = time.monotonic() - began
        workers.circles_next = began + took_s / CIRCLES_SHARE if took_s > CIRCLES_S else 0.0
    workers.caretaker.look()
    if workers.bell.is_heard:
        workers.bell.tell(site.transact(_overdue)[0])


def take_back(
    portal: "Portal", process: str, running: frozenset[str], is_sole: bool, judges: bool = True
) -> None:
    """Take activities back from Workers that died.

    Who alone has the database knows that all others are dead.  Else a process of this machine is seen to be
    gone, and of other machines three missed heartbeats tell it, to one who `judges`: while the database was
    away nobody could beat.  What this process claimed and does not run goes back without a death.
    """
    outbox, now = Outbox.of(portal.root), clock.now_s()
    late = now - MISSED_BEATS * HEARTBEAT_S
    for entry in [entry for shard in outbox.shards for entry in shard.places("claimed")]:
        record = outbox.loaded(entry)
        if record is None:
            continue
        if record.process == process:
            if record.id not in running and record.started < now - HEARTBEAT_S:
                leave(portal, record, give_back)
            continue
        beaten = max(record.started, outbox.beats.get(record.process, 0.0))
        if is_sole or is_dead(record.process) or (judges and beaten < late):
            leave(portal, record, bury)


def _overdue(portal: "Portal") -> Ready:
    """Return what could have been claimed for longer than a sweep: the message may be lost."""
    return Outbox.of(portal.root).ready_for_others(before=clock.now_s() - SWEEP_S)


def _open_gates(portal: "Portal") -> bool:
    """Open what is open; return whether there is more."""
    outbox = Outbox.of(portal.root)
    return max(map(outbox.open_gate, outbox.gates()), default=0) >= AT_ONCE


def _drop_old(portal: "Portal") -> bool:
    """Drop activities whose archive is over; return whether there is more."""
    outbox = Outbox.of(portal.root)
    until = clock.now_s() - portal.site.settings.activity_days * _DAY_S
    old = [
        entry
        for state in ("done", "cancelled")
        for shard in outbox.shards
        for entry in islice(shard.before(state, until), AT_ONCE)
    ]
    for entry in old[:AT_ONCE]:
        record = outbox.loaded(entry)
        if record is not None:
            outbox.remove(record)
    return len(old) > AT_ONCE
