"""Status: who runs activities, how much waits, and whether anybody is there: for `/workers` and programs."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from haywain import clock
from haywain.activity.canary import ran_s, silent_since_s
from haywain.activity.outbox import Outbox, time_of
from haywain.activity.presence import Process, processes
from haywain.activity.process import machine_of, shown

if TYPE_CHECKING:
    from haywain.portal import Portal


@dataclass(frozen=True)
class Status:
    """What there is to tell."""

    processes: tuple[Process, ...]
    ready: int
    """How many activities could run by now."""
    oldest_s: float | None
    """When the oldest of these was made, in seconds since 1970."""
    canary_s: float
    """When the canary was last run; 0 for never."""
    silent_since_s: float | None
    """Since when Workers are silent; None if they are not."""

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON."""
        return {
            "processes": [_process(process) for process in self.processes],
            "ready": self.ready,
            "oldest_ready": _iso(self.oldest_s),
            "canary": {"ran": _iso(self.canary_s), "silent_since": _iso(self.silent_since_s)},
        }


def status(portal: "Portal") -> Status:
    """Return how things stand."""
    outbox = Outbox.of(portal.root)
    times = [time_of(id) for shard in outbox.shards for _, _, id in shard.ready()]
    return Status(
        tuple(_known(portal, outbox)),
        len(times),
        min(times, default=None),
        ran_s(outbox),
        silent_since_s(outbox),
    )


def _known(portal: "Portal", outbox: Outbox) -> list[Process]:
    """Return the processes that were heard of; one that has its database alone need not tell itself."""
    workers, found = portal.site.workers, list(processes(outbox))
    if not portal.site.is_sole:
        return found
    own = next((process for process in found if process.name == workers.process), None)
    own = own or Process(workers.process, 0.0, None)
    return [replace(own, beaten_s=clock.now_s(), presence=workers.presence)]


def _process(process: Process) -> dict[str, Any]:  # Any: JSON
    presence = process.presence
    return {
        "name": shown(process.name),
        "machine": machine_of(process.name) or None,
        "is_alive": process.is_alive,
        "since": _iso(presence.since_s) if presence else None,
        "last_beat": _iso(process.beaten_s),
        "threads": presence.threads if presence else None,
        "queues": presence.queues.split(",") if presence and presence.queues else [],
        "runs": [
            {"id": run.id, "url": f"/api/v1/activities/{run.id}", "method": run.method, "path": run.path}
            for run in process.runs
        ],
    }


def _iso(seconds: float | None) -> str | None:
    return clock.iso(seconds) if seconds else None
