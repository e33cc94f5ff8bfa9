"""Workers: the threads of one process that run activities, and what the rest of the process asks of them.

With no threads `until_ended` runs the queue where it is called.  Between processes nothing but the database
is shared; in this one a lock keeps two threads from claiming the same, and the bell wakes whoever waits.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from ZODB.POSException import ConflictError

from haywain import clock
from haywain.activity.activation import Activation
from haywain.activity.batch import claim_with_group, run_of
from haywain.activity.bell import Bell
from haywain.activity.care import Caretaker
from haywain.activity.deadlock import fail_deadlocked
from haywain.activity.guard import GRACE_S, Crowded, Guard, Stopping
from haywain.activity.job import Job
from haywain.activity.map_reduce_job import MapReduceJob, map_reduce
from haywain.activity.method import method_of
from haywain.activity.outbox import AT_ONCE, Gate, Outbox, Ready
from haywain.activity.presence import Presence, beat, is_near, machines
from haywain.activity.process import machine_of, process_name
from haywain.activity.publisher import Publisher
from haywain.activity.record import ENDED, Activity
from haywain.activity.sweeper import SWEEP_S, sweep
from haywain.activity.watchdog import HEARTBEAT_S, Watchdog, memory_bytes
from haywain.errors import DatabaseServerError, InvalidError, TemporaryError

if TYPE_CHECKING:
    from haywain.document import Document
    from haywain.portal import Portal, Site

STOP_S = 2 * GRACE_S + 2
"""How long a stop takes at most: a run that ends at no step is interrupted, then abandoned."""

_log = logging.getLogger(__name__)


class Workers:
    """The activities of one process."""

    def __init__(self, site: "Site") -> None:
        """Begin without threads."""
        self.site = site
        self.process = process_name()
        self.queues = frozenset(filter(None, site.settings.queues.split(",")))
        self.bell = Bell(Publisher(site.settings.broker) if site.settings.broker else None)
        self.caretaker = Caretaker(site)
        self._guards: dict[str, Guard] = {}
        self._alone: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._watchdog: Watchdog | None = None
        self._claiming = threading.Lock()
        self._changed = threading.Condition()
        self._swept = self.circles_next = 0.0
        self._since_s, self._beaten = clock.now_s(), -HEARTBEAT_S
        self.is_stopping = False

    # -- what the portal asks
    def activate(self, portal: "Portal", document: "Document", options: dict[str, Any]) -> Activation:
        """Return what queues activities on a document; raises InvalidError."""
        return Activation(portal, document, options)

    def map_reduce(
        self,
        portal: "Portal",
        kind: str,
        source: "Document",
        step: str | int = 0,
        parameters: dict[str, Any] | None = None,
        target: "Document | None" = None,
    ) -> MapReduceJob:
        """Make a Job; raises UnknownNameError, InvalidError or ForbiddenError."""
        return map_reduce(portal, kind, source, step, parameters, target)

    def job(self, portal: "Portal", id: str) -> Job:
        """Return the handle on an activity that the portal's user may see; raises NotFoundError."""
        job = Job(portal, id)
        job.as_dict()
        return job

    def until_ended(self, id: str, deadline: float | None) -> None:
        """Return when an activity has ended, or at a deadline (monotonic seconds).

        Raises InvalidError if it waits for what never comes, or if an activity waits here.
        """
        if any(guard.thread == threading.get_ident() for guard in self.guards()):
            raise InvalidError(
                "An activity does not wait for another one: let a second one come after its tag"
            )
        idle_s = 0.0
        while deadline is None or time.monotonic() < deadline:
            rung = self.bell.rung
            with self.site.open() as portal:
                record = Outbox.of(portal.root).find(id)
                if record is None or record.state in ENDED:
                    return
            if idle_s and not self._threads:
                self._check_hope(id)
            idle_s = 1.0 if self._threads else self.run_next()
            if idle_s:
                left_s = deadline - time.monotonic() if deadline is not None else idle_s
                self.bell.wait(rung, max(0.0, min(idle_s, left_s, 1.0)))

    def _check_hope(self, id: str) -> None:
        """Raise InvalidError if an activity waits, and nothing is left that could end its waiting."""

        def work(portal: "Portal") -> str:
            fail_deadlocked(portal)
            outbox = Outbox.of(portal.root)
            record = outbox.find(id)
            waits = record is not None and record.place[0] in ("held", "lined") and outbox.is_stuck()
            return str(record.place[1][0]) if record is not None and waits else ""

        if tag := self.site.transact(work)[0]:
            raise InvalidError(f"It waits for the tag {tag!r}, and nothing runs; retry or cancel what failed")

    # -- threads
    @property
    def count(self) -> int:
        """How many threads there are."""
        return len(self._threads)

    def start(self, count: int) -> None:
        """Start so many threads."""
        for _ in range(count):
            self._threads.append(threading.Thread(target=self._work, name="worker", daemon=True))
            self._threads[-1].start()

    def ask_to_stop(self) -> None:
        """Have the threads end, each at its next step; what it leaves unfinished stays queued."""
        self.is_stopping = True
        for guard in self.guards():
            guard.ask(Stopping())
        self.bell.ring()
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """End the threads, within `STOP_S` seconds: the last are interrupted, then abandoned."""
        self.ask_to_stop()
        deadline = time.monotonic() + STOP_S
        for thread in [*self._threads, *([self._watchdog] if self._watchdog else [])]:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()
        self.bell.close()

    def replace(self, guard: Guard) -> None:
        """Let an abandoned thread go, and start another in its place."""
        self._forget(guard)
        known = [thread for thread in self._threads if thread.ident == guard.thread]
        for thread in known:
            self._threads.remove(thread)
            if not self.is_stopping:
                self.start(1)

    def guards(self) -> list[Guard]:
        """Return the guards of what runs here."""
        with self._changed:
            return list(self._guards.values())

    @property
    def presence(self) -> Presence:
        """What this process is."""
        return Presence(self._since_s, len(self._threads), ",".join(sorted(self.queues)))

    def beat(self) -> None:
        """Say that this process lives, and what it is."""
        self._beaten = time.monotonic()
        presence = self.presence
        self.site.transact(lambda portal: beat(Outbox.of(portal.root), self.process, presence))

    def beat_if_due(self) -> None:
        """Say so where other processes may ask, if that was a while ago."""
        if not self.site.is_sole and self._threads and time.monotonic() > self._beaten + HEARTBEAT_S:
            self.beat()

    def wait_for_runs(self) -> bool:
        """Wait until something runs; False if nothing does and the workers stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._guards or self.is_stopping)
            return bool(self._guards)

    def wait_for_end(self, timeout_s: float) -> None:
        """Wait until nothing runs, or for so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._guards, timeout_s)

    def _work(self) -> None:
        while not self.is_stopping:
            rung = self.bell.rung
            try:
                idle_s = self.run_next()
            except TemporaryError as error:
                _log.warning("a worker waits: %s", error)
                self._pause(SWEEP_S if isinstance(error, DatabaseServerError) else random.random())  # noqa: S311
                continue
            except BaseException:  # the disk is full, conflicts without end: the next try may succeed
                _log.exception("a worker failed; it goes on in %g s", SWEEP_S)
                idle_s = SWEEP_S
            if threading.current_thread() not in self._threads:  # abandoned, and back too late
                return
            if idle_s:
                self.bell.rest(rung)
                if not self.is_stopping:
                    self.bell.wait(rung, idle_s)

    def _pause(self, timeout_s: float) -> None:
        """Wait, whatever rings: where the database is away each ring would only find that out again."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_stopping, timeout_s)

    def run_next(self) -> float:
        """Run what is to run next; return 0, or for how many seconds there is nothing to do."""
        if time.monotonic() > self._swept + SWEEP_S or not self._swept:
            self._swept = time.monotonic()
            self.beat_if_due()
            sweep(self)
        with self._claiming:
            gates = self.bell.take_gates()
            tries = count()
            (guard, idle_s, others), _ = self.site.transact(
                lambda portal: self._claim(portal, gates, next(tries) > 0)
            )
            if guard is not None:
                self._remember(guard)
        self.bell.tell(others)
        if guard is None:
            return idle_s
        try:
            run_of(self.site, guard).run()
        finally:
            (self._alone.add if isinstance(guard.why, Crowded) else self._alone.discard)(guard.id)
            self._forget(guard)
            self.bell.ring()
        return 0.0

    def _claim(
        self, portal: "Portal", gates: set[Gate], is_contended: bool
    ) -> tuple[Guard | None, float, Ready]:
        """Claim what is next; return also for how long nothing is, and what others may run by now."""
        outbox = Outbox.of(portal.root)
        opened = {gate: outbox.open_gate(gate) for gate in gates}
        again = frozenset(gate for gate, passed in opened.items() if passed == AT_ONCE)
        if again:
            self.bell.ring(again)
        record = outbox.next_ready(is_contended, self.queues, self._nearness(outbox))
        others = outbox.ready_for_others(record) if any(opened.values()) else {}
        if record is None:
            at = outbox.next_time()
            return None, SWEEP_S if at is None else min(max(at - clock.now_s(), 0.01), SWEEP_S), others
        runs = self.guards()
        if runs and (record.id in self._alone or any(guard.id in self._alone for guard in runs)):
            return None, SWEEP_S, others
        claims = claim_with_group(portal, record, self.process)
        time_s, memory = self._limits(portal, record)
        guard = Guard(record.id, claims[record.id], time_s - record.spent_s, memory)
        guard.claims = claims
        guard.memory_before, guard.was_alone = memory_bytes(), not runs
        return guard, 0.0, others

    def _nearness(self, outbox: Outbox) -> Callable[[str], bool] | None:
        """Return what tells whether a key is near, where each machine has copies of blobs of its own."""
        if getattr(self.site.storage, "shared_blob_dir", True):
            return None
        all = machines(outbox)
        return partial(is_near, here=machine_of(self.process), all=all) if len(all) > 1 else None

    def _limits(self, portal: "Portal", record: Activity) -> tuple[float, int]:
        """Return the seconds and bytes that an activity may take."""
        settings = self.site.settings
        try:
            found = method_of(self.site.registry, type(portal[record.path]), record.method)
        except ConflictError:
            raise
        except Exception:  # whatever it is, the run tells; the queue must not stop for it
            return settings.activity_seconds, settings.activity_bytes
        return (
            settings.activity_seconds if found.time_limit_s is None else found.time_limit_s,
            settings.activity_bytes if found.memory_limit_bytes is None else found.memory_limit_bytes,
        )

    def _remember(self, guard: Guard) -> None:
        with self._changed:
            for other in self._guards.values():
                other.was_alone = False
            self._guards[guard.id] = guard
            if self._watchdog is None or not self._watchdog.is_alive():
                self._watchdog = Watchdog(self)
                self._watchdog.start()
            self._changed.notify_all()

    def _forget(self, guard: Guard) -> None:
        with self._changed:
            if self._guards.get(guard.id) is guard:
                del self._guards[guard.id]
            self._changed.notify_all()
