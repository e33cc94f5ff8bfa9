"""Group commit: what many threads want to store goes into one transaction, so that one fsync serves all.

There is no thread of its own and nobody lingers: who finds no transaction under way leads one, with all that
waits by then; what comes meanwhile waits for the next, which the first of those leads.

    fast      all in a row; if one is refused, the transaction is aborted and done again, with care
    careful   each behind a savepoint: who is refused is taken back, the others stay

Who is refused hears of it after the commit: the refusal may rest on what another one stored in the same
transaction.  A conflict is tried again by `transact`, the whole group anew.

A work names a lock, which is held for as long as its transaction lasts.  If somebody outside of the group has
it (a large upload, say), the others do not wait for that: such a work goes alone.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, cast

from transaction import TransactionManager
from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError

from haywain.errors import TemporaryError
from haywain.store.pausing import acquire, pause
from haywain.values import MIB, Tid

GROUP_BYTES = 8 * MIB
"""Most bytes of one transaction, unless its first work has more."""

WAITING_BYTES, MOST_WAITING = 64 * MIB, 256
"""What may wait; more is asked to come again."""

T = TypeVar("T")


class Session(Protocol):
    """What a work is done in: an open transaction."""

    @property
    def manager(self) -> TransactionManager:
        """The manager of the transaction."""


S = TypeVar("S", bound=Session)
Transact = Callable[[Callable[[S], list[Any]]], tuple[list[Any], Tid]]
"""Runs a function in a transaction and commits it, trying again after conflicts.  Any: each work's result."""


class _RefusedError(Exception):
    """One of several works raised."""


@dataclass(eq=False)
class _Ticket(Generic[S]):
    """One work that waits for its transaction."""

    work: Callable[[S], Any]  # Any: its result
    lock: threading.Lock
    size: int
    woken: threading.Event = field(default_factory=threading.Event)
    """Set when it is over, or when this one is to lead."""
    is_over: bool = False
    result: Any = None  # Any: as above, with the transaction
    error: BaseException | None = None

    def end(self, result: object, tid: Tid | None = None) -> None:
        """Say what came of it, an error or the result."""
        if isinstance(result, BaseException):
            self.error = result
        else:
            self.result = (result, tid)
        self.is_over = True
        self.woken.set()

    def outcome(self) -> tuple[Any, Tid]:
        """Return what came of it, or raise it."""
        if self.error is not None:
            raise self.error.with_traceback(None)
        return cast("tuple[Any, Tid]", self.result)


class Group(Generic[S]):
    """Gathers the works of many threads."""

    def __init__(self, transact: Transact[S]) -> None:
        """Commit by this function."""
        self._transact = transact
        self._mutex = threading.Lock()
        self._waiting = deque[_Ticket[S]]()
        self._bytes = 0
        self._is_led = False

    @property
    def waiting(self) -> tuple[int, int]:
        """How many works wait for a transaction, and their bytes."""
        with self._mutex:
            return len(self._waiting), self._bytes

    def run(self, work: Callable[[S], T], lock: threading.Lock, size: int = 0) -> tuple[T, Tid]:
        """Do the work in a transaction, perhaps with others; return its result and the transaction's id.

        `size` is about how many bytes it stores.  The work may be done several times before one counts.
        Raises what it raises, TemporaryError if too much waits already, and what the commit raises.
        """
        ticket = _Ticket(work, lock, size)
        leads = self._queue(ticket)
        pause()
        if not leads:
            ticket.woken.wait()
        if not ticket.is_over:
            self._lead(ticket)
        return ticket.outcome()

    def _queue(self, ticket: _Ticket[S]) -> bool:
        """Let it wait; return whether it is to lead."""
        with self._mutex:
            if self._waiting and (
                len(self._waiting) >= MOST_WAITING or self._bytes + ticket.size > WAITING_BYTES
            ):
                raise TemporaryError("Too much waits to be stored; send it again in a moment", 1)
            self._waiting.append(ticket)
            self._bytes += ticket.size
            leads, self._is_led = not self._is_led, True
            return leads

    def _lead(self, own: _Ticket[S]) -> None:
        with ExitStack() as held:
            batch = self._take(held)
            try:
                self._commit(batch)
            finally:
                for ticket in batch:  # if this thread was made to end
                    if not ticket.is_over:
                        ticket.end(TemporaryError("The commit was interrupted; send it again", 1))
                held.close()
                self._hand_over(own)
        if not own.is_over:
            acquire(own.lock)
            try:
                self._commit([own])
            finally:
                own.lock.release()

    def _take(self, held: ExitStack) -> list[_Ticket[S]]:
        """Take what waits, in order, as far as its locks are free and it fits."""
        batch: list[_Ticket[S]] = []
        locks, left, size = set[int](), deque[_Ticket[S]](), 0
        with self._mutex:
            for ticket in self._waiting:
                fits = not batch or size + ticket.size <= GROUP_BYTES
                if not fits or not (id(ticket.lock) in locks or ticket.lock.acquire(blocking=False)):
                    left.append(ticket)
                    continue
                if id(ticket.lock) not in locks:
                    locks.add(id(ticket.lock))
                    held.callback(ticket.lock.release)
                batch.append(ticket)
                size += ticket.size
            self._waiting = left
            self._bytes -= size
        return batch

    def _hand_over(self, own: _Ticket[S]) -> None:
        """Let the first that waits lead; take the leader's own out, if somebody else has its lock."""
        with self._mutex:
            if not own.is_over:
                self._waiting.remove(own)
                self._bytes -= own.size
            if self._waiting:
                self._waiting[0].woken.set()
            else:
                self._is_led = False

    def _commit(self, batch: list[_Ticket[S]]) -> None:
        """Do the works of a batch in one transaction, and say to each what came of it."""
        if not batch:
            return
        try:
            try:
                results, tid = self._transact(lambda session: _fast(batch, session))
            except _RefusedError:
                results, tid = self._transact(lambda session: _careful(batch, session))
        except Exception as error:  # of the commit, or of a work that was alone
            for ticket in batch:
                ticket.end(error)
            return
        for ticket, result in zip(batch, results, strict=True):
            ticket.end(result, tid)


def _fast(batch: list[_Ticket[S]], session: S) -> list[Any]:
    """Return the results; raises _RefusedError if one of several works raises."""
    if len(batch) == 1:
        return [batch[0].work(session)]
    try:
        return [ticket.work(session) for ticket in batch]
    except (ConflictError, TransientError):
        raise
    except Exception as error:  # whatever it is, it is done again with care
        raise _RefusedError from error


def _careful(batch: list[_Ticket[S]], session: S) -> list[Any]:
    """Return for each work its result or what it raised; then nothing of it stays."""
    found = []
    for ticket in batch:
        savepoint = session.manager.savepoint()
        try:
            found.append(ticket.work(session))
        except (ConflictError, TransientError):
            raise
        except Exception as error:  # its thread gets it
            savepoint.rollback()
            found.append(error)
    return found
