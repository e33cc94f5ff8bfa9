"""The joblib backend `haywain`: the batches of `joblib.Parallel` are activities, on all Workers there are.

    with joblib.parallel_config(backend="haywain", portal=portal):
        GridSearchCV(...).fit(X, y)

Each call is a document, a Parallel Call, on which each batch is an activity; so a Worker that is killed costs
nothing, and Workers may be threads of this process or other processes on the same database.  One thread
waits for what comes back; where this process has no Workers it runs the queue, as `job.wait()` does.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, cast

from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

from haywain import clock
from haywain.activity.guard import Cancelled
from haywain.activity.outbox import Outbox
from haywain.activity.packing import BatchError, outcome_of, pack
from haywain.activity.parcel import Batches, Packed
from haywain.activity.sweeper import MISSED_BEATS
from haywain.activity.watchdog import HEARTBEAT_S
from haywain.activity.workers import STOP_S
from haywain.errors import HaywainError, InvalidError, NotFoundError, TemporaryError
from haywain.portal import Portal, Site
from haywain.security import User, require

if TYPE_CHECKING:
    from joblib.parallel import BatchedCalls

LOOK_S = 0.05
"""How often it is looked for what other processes have done: they ring no bell here."""
PULSE_S = 3600.0
"""How often it is noted that the caller lives."""

Outcome = Callable[[], Any]
"""Returns what a batch returned, or raises its error.  Any: whatever the functions return."""
Callback = Callable[[Outcome], None]

_log = logging.getLogger(__name__)


class HaywainBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """Runs batches on the Workers of a portal."""

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, portal: Portal | None = None, **options: Any) -> None:  # Any: joblib's own
        """Take the portal on whose Workers to run; raises InvalidError or ForbiddenError."""
        super().__init__(**options)
        if not isinstance(portal, Portal):
            raise InvalidError(
                'Say on which portal: joblib.parallel_config(backend="haywain", portal=portal), with one of'
                " haywain.open; over HTTP no code is taken"
            )
        require(portal.user, "manage")
        self._site, self._user = portal.site, portal.user
        self._call: _Call | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many batches are to run at once: -1 is one for each Worker that is known of."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        if n_jobs < 0:
            return max(count_workers(self._site) + 1 + n_jobs, 1)
        return n_jobs

    def start_call(self) -> None:
        """Begin a call of Parallel; raises InvalidError in an activity, which would wait for others."""
        if any(guard.thread == threading.get_ident() for guard in self._site.workers.guards()):
            raise InvalidError("An activity does not wait for others: leave the backend out in here")
        self._call = _Call(self._site, self._user)

    def submit(self, func: "BatchedCalls", callback: Callback | None = None) -> int:
        """Queue a batch; the callback is given its outcome."""
        assert self._call is not None and callback is not None
        return self._call.submit(func, callback)

    def retrieve_result_callback(self, outcome: Outcome) -> Any:  # Any: a list of what was returned
        """Return the results of a batch, or raise its error."""
        return outcome()

    def stop_call(self) -> None:
        """End the call: nothing is left of it in the database."""
        if self._call is not None:
            self._call.close()
            self._call = None

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel what is queued, and what runs at its next step."""
        if self._call is not None:
            self._call.close()


def count_workers(site: Site) -> int:
    """Return how many Workers are known: threads of this process, and others that have been busy of late.

    At least 1; and at least 2 where other processes may have the database open: they tell that they are there
    once they have work.
    """
    since = clock.now_s() - MISSED_BEATS * HEARTBEAT_S
    with site.open() as portal:
        beats = dict(Outbox.of(portal.root).beats)
    others: int = sum(at > since for process, at in beats.items() if process != site.workers.process)
    return max(site.workers.count + others, 1 if site.is_sole else 2)


class _CallDocument(Protocol):
    """What is asked of the Portal Type."""

    path: str
    batches: Batches

    def queue(self, number: int, packed: Packed) -> str:
        """Take a batch in."""

    def forget(self) -> None:
        """Delete it."""


class _Call:
    """One call of Parallel: its batches that are not back yet.

    Only its thread writes to the database: Ctrl-C, which the main thread hears, leaves no transaction half.
    """

    def __init__(self, site: Site, user: User) -> None:
        self._site, self._user = site, user
        self._path = ""
        self._numbers = count()
        self._pending: dict[int, tuple[str, Callback]] = {}  # number -> id of the activity, callback
        self._new: SimpleQueue[tuple[int, Packed, Callback]] = SimpleQueue()
        self._starting = threading.Lock()
        self._is_over = False
        self._thread = threading.Thread(target=self._collect, name="parallel call", daemon=True)
        self._pulse_next = time.monotonic() + PULSE_S

    def submit(self, func: object, callback: Callback) -> int:
        """Have a batch queued.  What goes wrong is its outcome: raised in our thread nobody would see it."""
        number = next(self._numbers)
        try:
            self._new.put((number, pack(func), callback))
        except Exception as error:  # what cannot be pickled raises what it likes
            callback(partial(_fail, error))
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()
        return number

    def close(self) -> None:
        """Forget it all.  A batch that runs is made to end; without a database the sweep forgets it later."""
        self._is_over = True
        self._site.workers.bell.ring()
        for guard in self._site.workers.guards():
            if guard.thread == self._thread.ident:  # it runs a batch itself
                guard.ask(Cancelled("Its caller was interrupted"))
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_S)

    # -- the thread
    def _collect(self) -> None:
        """Queue what is new and hand out what comes back, until the call is over."""
        while not self._is_over:
            try:
                self._store_new()
                self._hand_out()
                self._wait()
            except TemporaryError as error:
                _log.warning("a parallel call waits: %s", error)
                time.sleep(LOOK_S)
            except Exception as error:  # whatever it is, the caller must not wait for ever
                self._give_up(error)
        self._forget()

    def _store_new(self) -> None:
        while not self._is_over and not self._new.empty():
            number, packed, callback = self._new.get()
            try:
                (self._path, id), _ = self._site.transact(partial(self._queue, number, packed), self._user)
                self._pending[number] = id, callback
            except Exception as error:  # it was taken out of the queue: its caller must be told
                callback(partial(_fail, error))

    def _queue(self, number: int, packed: Packed, portal: Portal) -> tuple[str, str]:
        found = portal[self._path] if self._path else portal.new("Parallel Call", reference="joblib")
        call = cast(_CallDocument, found)
        return call.path, call.queue(number, packed)

    def _forget(self) -> None:
        path = self._path
        try:
            if path:
                self._site.transact(lambda portal: cast(_CallDocument, portal[path]).forget(), self._user)
        except NotFoundError:
            pass  # somebody has deleted it
        except (HaywainError, OSError) as error:
            _log.warning("%s stays for a day: %s", path, error)

    def _hand_out(self) -> None:
        for number, outcome in self._ended():
            _, callback = self._pending.pop(number)
            if not self._is_over:
                callback(outcome)

    def _ended(self) -> list[tuple[int, Outcome]]:
        pending = dict(self._pending)  # before the snapshot, which then has them all
        if not pending or self._is_over:
            return []
        with self._site.open(self._user) as portal:
            return list(self._outcomes(portal, pending))

    def _outcomes(
        self, portal: Portal, pending: dict[int, tuple[str, Callback]]
    ) -> Iterator[tuple[int, Outcome]]:
        """Yield the batches that have ended, with what came of each."""
        batches = cast(_CallDocument, portal[self._path]).batches
        outbox = Outbox.of(portal.root)
        for number, (id, _) in pending.items():
            parcel = batches[number].outcome
            if parcel is not None:
                yield number, _kept(partial(outcome_of, parcel))
                continue
            record = outbox.find(id)
            if record is None or record.state in ("failed", "cancelled"):
                why = record.error if record is not None and record.error else "it was cancelled"
                yield number, _kept(partial(_fail, BatchError(f"A batch did not end well: {why}")))

    def _wait(self) -> None:
        """Wait for the oldest batch for a moment; where there are no Workers, run the queue instead."""
        if time.monotonic() > self._pulse_next:
            self._pulse_next = time.monotonic() + PULSE_S
            self._site.transact(self._beat, self._user)
        oldest = next(iter(self._pending.values()), None)
        if oldest is not None:
            self._site.workers.until_ended(oldest[0], time.monotonic() + LOOK_S)
        else:
            time.sleep(LOOK_S / 10)

    def _beat(self, portal: Portal) -> None:
        cast(_CallDocument, portal[self._path]).batches.pulse.at = clock.now_s()

    def _give_up(self, error: Exception) -> None:
        if not self._is_over:
            _log.exception("a parallel call is given up")
        while self._pending and not self._is_over:
            _, (_, callback) = self._pending.popitem()
            callback(_kept(partial(_fail, error)))


def _kept(outcome: Outcome) -> Outcome:
    """Return an outcome as it is now, while the database is open: an error is raised when it is asked for."""
    try:
        found = outcome()
    except Exception as error:  # that of the batch
        return partial(_fail, error)
    return lambda: found


def _fail(error: Exception) -> Any:  # Any: it never returns
    raise error
