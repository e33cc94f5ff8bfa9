"""Bell: who is told that a transaction has queued, freed or ended activities.

The Workers of this process listen by `Workers.bell`; it rings in others through the publisher, if there is a
broker.  Both hear of it after the commit, and what the broker loses the sweep finds.
"""

import threading
from typing import TYPE_CHECKING, Any

from haywain.activity.outbox import Gate, Ready, gates_of
from haywain.activity.publisher import Publisher
from haywain.activity.record import Activity
from haywain.activity.shard import is_ready

if TYPE_CHECKING:
    from haywain.portal import Portal

MOST_GATES = 10_000
"""Gates that are remembered: where no Worker takes them, the sweeps of others look at all."""


class Bell:
    """Wakes the Workers of a process, and those who wait for a job; those of others too."""

    def __init__(self, publisher: Publisher | None = None) -> None:
        """Begin silent."""
        self._changed = threading.Condition()
        self._gates: set[Gate] = set()
        self._publisher = publisher
        self.rung = self._rested = 0

    def ring(self, gates: frozenset[Gate] = frozenset()) -> None:
        """Wake everybody here; the gates are to be looked at."""
        with self._changed:
            self.rung += 1
            if len(self._gates) < MOST_GATES:
                self._gates |= gates
            self._changed.notify_all()

    @property
    def is_heard(self) -> bool:
        """Whether there is a broker."""
        return self._publisher is not None

    def tell(self, ready: Ready) -> None:
        """Wake Workers of other processes, if there is a broker; never waits for it."""
        if self._publisher is not None and ready:
            self._publisher.tell(ready)

    def wait(self, rung: int, timeout_s: float) -> None:
        """Wait until it rings once more than `rung` times, or for so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.rung > rung, timeout_s)

    def rest(self, rung: int) -> None:
        """Note that a Worker has found nothing to do since it rang for the last of so many times."""
        with self._changed:
            self._rested = max(self._rested, rung)
            self._changed.notify_all()

    def wait_for_rest(self, rung: int, timeout_s: float) -> bool:
        """Wait until a Worker has found nothing to do since; return whether one has in so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._rested >= rung, timeout_s)

    def take_gates(self) -> set[Gate]:
        """Return the gates to be looked at, once."""
        with self._changed:
            found, self._gates = self._gates, set()
            return found

    def close(self) -> None:
        """Let the publisher end, once it has sent what it has."""
        if self._publisher is not None:
            self._publisher.stop()


class _Ringer:
    """Rings when the transaction has committed: a data manager that comes after all others."""

    def __init__(self, portal: "Portal") -> None:
        self._bell, self.gates = portal.site.workers.bell, set[Gate]()
        self.ready: Ready = {}
        self.transaction_manager = portal.manager

    def note(self, record: Activity) -> None:
        """Take in an activity, as it stands by now."""
        self.gates |= gates_of([record])
        if is_ready(record.place):
            self.ready.setdefault(record.queue, []).append(record.id)

    def tpc_finish(self, transaction: Any) -> None:  # Any: transaction has no types
        self._bell.ring(frozenset(self.gates))
        self._bell.tell(self.ready)

    def nothing(self, transaction: Any) -> None:
        """Do nothing: this manages no data."""

    abort = tpc_begin = commit = tpc_vote = tpc_abort = nothing

    def sortKey(self) -> str:
        return "~~bell"

    def savepoint(self) -> Any:
        return self

    def rollback(self) -> None:
        """Let the bell ring all the same: it costs a look."""


def ring_at_commit(portal: "Portal", record: Activity) -> None:
    """Have the bell rung when the portal's transaction has committed, for this activity too."""
    transaction = portal.manager.get()
    try:
        ringer = transaction.data(Bell)
    except KeyError:
        ringer = _Ringer(portal)
        transaction.set_data(Bell, ringer)
        transaction.join(ringer)
    ringer.note(record)
