"""Watchdog: one thread that looks after the runs of this process, and sleeps while there are none.

It tells other processes that this one lives, sees who was cancelled, and holds runs to their limits.  Memory
is the process's: what it grows by while one activity runs alone is that activity's.  Where others ran too, if
only for a while, each that is over its limit by the process's growth goes back, and is run again alone.
"""

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from haywain.activity.ending import end_interrupted
from haywain.activity.guard import Cancelled, Crowded, Guard, OverLimit, Stopping
from haywain.activity.outbox import Outbox
from haywain.errors import DatabaseServerError
from haywain.values import KIB, MIB

if TYPE_CHECKING:
    from haywain.activity.workers import Workers

TICK_S = 0.25
HEARTBEAT_S = 10.0
"""Three of them missed, and a claim is void."""

_log = logging.getLogger(__name__)


class Watchdog(threading.Thread):
    """Looks at all runs four times a second, while there are some."""

    def __init__(self, workers: "Workers") -> None:
        """Look after these workers."""
        super().__init__(name="watchdog", daemon=True)
        self._workers = workers
        self._beaten = self._asked = time.monotonic()

    def run(self) -> None:
        """Look until no run is left and the workers stop."""
        while self._workers.wait_for_runs():
            self._workers.wait_for_end(TICK_S)
            try:
                self._look()
            except DatabaseServerError as error:
                _log.warning("the watchdog is blind: %s", error)
                self._workers.wait_for_end(HEARTBEAT_S)
            except Exception:  # whatever it is, the next look may succeed
                _log.exception("the watchdog failed; it looks again in %g s", TICK_S)

    def _look(self) -> None:
        guards, now = self._workers.guards(), time.monotonic()
        if now - self._beaten > HEARTBEAT_S:
            self._beaten = now
            self._workers.beat()
        if now - self._asked > 4 * TICK_S:
            self._asked = now
            self._see_cancelled(guards)
        self._hold_to_limits(guards, now)
        for guard in guards:
            if guard.press():
                self._abandon(guard)

    def _see_cancelled(self, guards: list[Guard]) -> None:
        with self._workers.site.open() as portal:
            for guard in guards:
                for id, claim in guard.claims.items():
                    record = Outbox.of(portal.root).find(id)
                    if record is None or record.claim != claim or record.is_cancelled:
                        guard.ask(Cancelled("It was cancelled"))

    def _hold_to_limits(self, guards: list[Guard], now: float) -> None:
        used = memory_bytes()
        for guard in guards:
            if self._workers.is_stopping:
                guard.ask(Stopping())
            if now > guard.deadline:
                guard.ask(OverLimit("It ran longer than its time limit"))
            grown = used - guard.memory_before
            if grown > guard.memory_limit_bytes:
                text = f"The process grew by {grown // MIB} MiB while it ran, over its memory limit"
                guard.ask(OverLimit(text) if guard.was_alone else Crowded(text))

    def _abandon(self, guard: Guard) -> None:
        _log.error("activity %s does not stop; its thread is abandoned", guard.id)
        assert guard.why is not None
        self._workers.replace(guard)
        end_interrupted(self._workers.site, guard, guard.why)


def memory_bytes() -> int:
    """Return the memory of this process that is no file's: of what is mapped only the changed pages."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * KIB
    except OSError:
        pass  # no Linux
    return int(psutil.Process().memory_info().rss)
