"""Presence: which processes run activities, as they said themselves, and what they run now.

A process on a shared database says so every few seconds (`Outbox.beats`), idle or not; one that has a
database alone writes nothing while it is at rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from BTrees.OOBTree import OOBTree

from haywain import clock
from haywain.activity.outbox import Outbox
from haywain.activity.process import is_dead, machine_of
from haywain.activity.record import Activity
from haywain.activity.watchdog import HEARTBEAT_S

FORGET_S = 86_400
LATE_S = 3 * HEARTBEAT_S
"""Who has not been heard of for so long is taken for dead."""


class Presence(NamedTuple):
    """What a process says of itself."""

    since_s: float
    """Since when it runs, in seconds since 1970."""
    threads: int
    queues: str
    """`a,b`; "" for all."""


@dataclass(frozen=True)
class Process:
    """A process, and what it runs now."""

    name: str
    beaten_s: float
    """When it was last heard of, in seconds since 1970."""
    presence: Presence | None
    """None of one that has not said what it is."""
    runs: tuple[Activity, ...] = ()

    @property
    def is_alive(self) -> bool:
        """Whether it is taken to live."""
        return self.beaten_s > clock.now_s() - LATE_S and not is_dead(self.name)

    def serves(self, queue: str) -> bool:
        """Whether it takes activities of a queue."""
        queues = self.presence.queues if self.presence is not None else ""
        return not queues or queue in queues.split(",")


def beat(outbox: Outbox, process: str, presence: Presence) -> None:
    """Say that a process lives; forget those that have been silent for a day, or are seen to be dead."""
    if outbox.presences is None:
        outbox.presences = OOBTree()
    outbox.beats[process] = clock.now_s()
    if outbox.presences.get(process) != tuple(presence):
        outbox.presences[process] = tuple(presence)
    for other in [n for n, at in outbox.beats.items() if at < clock.now_s() - FORGET_S or is_dead(n)]:
        del outbox.beats[other]
        outbox.presences.pop(other, None)


def processes(outbox: Outbox) -> Iterator[Process]:
    """Yield the processes that have been heard of, those on one machine together."""
    runs: dict[str, list[Activity]] = {}
    for shard in outbox.shards:
        for _, _, id in shard.places("claimed"):
            record = outbox.find(id)
            if record is not None:
                runs.setdefault(record.process, []).append(record)
    presences = outbox.presences if outbox.presences is not None else {}
    names = sorted({*outbox.beats, *runs})
    for name in names:
        kept = presences.get(name)
        started = max((record.started for record in runs.get(name, ())), default=0.0)
        yield Process(
            name,
            max(outbox.beats.get(name, 0.0), started),
            Presence(*kept) if kept is not None else None,
            tuple(runs.get(name, ())),
        )


def is_near(key: str, here: str, all: list[str]) -> bool:
    """Return whether a key falls to a machine, of all that live; what has no key falls to everybody.

    By rendezvous hashing: when a machine comes or goes, the keys of the others stay where they are.

    >>> [is_near("turbine 7", here, ["a", "b"]) for here in ("a", "b")], is_near("", "a", ["a", "b"])
    ([True, False], True)
    """
    return (
        not key
        or here not in all
        or here == max(all, key=lambda one: sha256(f"{one} {key}".encode()).digest())
    )


def machines(outbox: Outbox) -> list[str]:
    """Return the machines of which a process has been heard lately."""
    return sorted({machine_of(p) for p, at in outbox.beats.items() if at > clock.now_s() - LATE_S} - {""})
