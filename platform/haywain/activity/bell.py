"""Bell: who is told that a transaction has queued, freed or ended activities.

The Workers of this process listen by `Workers.bell`.  A broker that tells other machines belongs in the same
place (issue 6): it is told ids after the commit, and what it loses the sweep finds.
"""

import threading
from typing import TYPE_CHECKING, Any

from haywain.activity.outbox import Gate, gates_of
from haywain.activity.record import Activity

if TYPE_CHECKING:
    from haywain.portal import Portal


class Bell:
    """Wakes the Workers of a process, and those who wait for a job."""

    def __init__(self) -> None:
        """Begin silent."""
        self._changed = threading.Condition()
        self._gates: set[Gate] = set()
        self.rung = 0

    def ring(self, gates: frozenset[Gate] = frozenset()) -> None:
        """Wake everybody; the gates are to be looked at."""
        with self._changed:
            self.rung += 1
            self._gates |= gates
            self._changed.notify_all()

    def wait(self, rung: int, timeout_s: float) -> None:
        """Wait until it rings once more than `rung` times, or for so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.rung > rung, timeout_s)

    def take_gates(self) -> set[Gate]:
        """Return the gates to be looked at, once."""
        with self._changed:
            found, self._gates = self._gates, set()
            return found


class _Ringer:
    """Rings when the transaction has committed: a data manager that comes after all others."""

    def __init__(self, portal: "Portal") -> None:
        self._bell, self.gates = portal.site.workers.bell, set[Gate]()
        self.transaction_manager = portal.manager

    def tpc_finish(self, transaction: Any) -> None:  # Any: transaction has no types
        self._bell.ring(frozenset(self.gates))

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
    ringer.gates |= gates_of([record])
