"""Receipts: where the ledger's keys lie, in memory, brought up to date from the log.

It is changed only after a commit has succeeded.  Recent keys are in a dict; of every 65,536 a Run is
made, a file of sorted numbers that is mapped, so that a month of a million keys a day takes no memory.
Runs are derived: one that is damaged, or of another database, is made anew from the log; one that the disk
does not take is made later, since a commit that was kept must not be told to have failed.

In one process a transaction that adds keys has the ledger to itself from its first one to its end, so
that two with one key meet here; in several they meet at a Guard.  What others have stored is read from
their lanes at the start of each transaction.
"""

import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transaction import TransactionManager
from transaction.interfaces import ISynchronizer
from ZODB.POSException import ConflictError
from zope.interface import implementer

from haywain.ingestion.runs import Runs

if TYPE_CHECKING:
    from haywain.ingestion.ledger import Ledger

MOST_RECENT = 1 << 16
"""So many keys are in the dict before they become a Run: 10 MB."""

GHOSTS_EVERY = 1024
"""After so many Batches that are read, objects that are not needed are let go: a month has millions."""

PATIENCE_S = 10
"""How long a transaction waits for another one that adds keys, before it is tried again."""

_log = logging.getLogger(__name__)


class Place(NamedTuple):
    """A Batch: the lane, and the number there."""

    lane: str
    number: int


def day_of(number: int) -> int:
    """Return the day of a Batch, in days since 1970 UTC; a later one where the clock was set back."""
    return number >> 40


class Table:
    """The keys of one lane."""

    def __init__(self, runs: Runs) -> None:
        """Begin with what the files know."""
        self.runs, self.seen = runs, runs.last
        self._recent: dict[bytes, int] = {}
        self._most = MOST_RECENT

    def add(self, number: int, keys: Iterable[bytes], is_next: bool = True) -> None:
        """Note the keys of a Batch; it `is_next` if no other one before it is to be read still."""
        self._recent.update(dict.fromkeys(keys, number))
        self.seen = max(self.seen, number) if is_next else self.seen
        if is_next and len(self._recent) >= self._most:
            self._make_run()

    def _make_run(self) -> None:
        """Make a Run of all that has been seen; where the disk does not take it, after as many keys more."""
        seen = {key: number for key, number in self._recent.items() if number <= self.seen}
        try:
            self.runs.add(seen, self.seen)
            self._recent = {key: number for key, number in self._recent.items() if number > self.seen}
        except OSError as error:
            _log.warning("keys of the ledger stay in memory, as their file cannot be made: %s", error)
        self._most = len(self._recent) + MOST_RECENT

    def find(self, key: bytes) -> list[int]:
        """Return the numbers of Batches that may hold a key: at most one in 2**64 does not."""
        recent = self._recent.get(key)
        return self.runs.find(key) if recent is None else [recent, *self.runs.find(key)]


@implementer(ISynchronizer)
class _Writing:
    """A transaction that adds keys: its place, and what comes of it."""

    def __init__(self, receipts: "Receipts", ledger: "Ledger", manager: TransactionManager) -> None:
        self._receipts, self._ledger, self._manager = receipts, ledger, manager
        self.place = Place(receipts.lane, ledger.next_number(receipts.written))
        self._keys: list[bytes] = []
        self._oldest = 0
        manager.registerSynch(self)
        manager.get().addBeforeCommitHook(self._collect)

    def _collect(self) -> None:
        self._keys = self._ledger.keys_of(*self.place)
        self._oldest = self._ledger.oldest(self.place.lane)

    def beforeCompletion(self, transaction: Any) -> None:
        """Do nothing."""

    def afterCompletion(self, transaction: Any) -> None:
        """Note what was stored, and let others write."""
        self._manager.unregisterSynch(self)
        try:
            if transaction.status == "Committed":
                self._receipts.note(self.place, self._keys, self._oldest)
        finally:
            self._receipts.writing.release()

    def newTransaction(self, transaction: Any) -> None:
        """Do nothing."""


class Receipts:
    """The index of one process; threads share it."""

    def __init__(self, folder: Path, lane: str, is_shared: bool) -> None:
        """Keep files in a folder; write into a lane; `is_shared` where other processes write others."""
        self.lane, self.is_shared = lane, is_shared
        self.writing = threading.Lock()
        self._folder, self._mutex = folder, threading.Lock()
        self._tables: dict[str, Table] = {}
        self._is_loaded, self._read = False, object()
        self.written = Place(lane, -1)

    def own(self, manager: TransactionManager) -> Place | None:
        """Return where this transaction adds keys; None if it has added none."""
        return manager.get().data(self).place if _has(manager, self) else None

    def begin(self, ledger: "Ledger", manager: TransactionManager) -> Place:
        """Return where this transaction adds keys, once no other one of this process does."""
        found = self.own(manager)
        if found is not None:
            return found
        self.catch_up(ledger, manager)
        if not self.writing.acquire(timeout=PATIENCE_S):
            raise ConflictError("another transaction adds keys to the ledger")
        try:
            writing = _Writing(self, ledger, manager)
        except BaseException:
            self.writing.release()
            raise
        manager.get().set_data(self, writing)
        return writing.place

    def note(self, place: Place, keys: list[bytes], oldest: int) -> None:
        """Note what a transaction of this process has stored.

        Where the database is a server's, one before it may be in doubt, and is read by `catch_up`.
        """
        with self._mutex:
            self.written = place
            table = self._tables[place.lane]
            table.add(place.number, keys, is_next=not self.is_shared)
            table.runs.forget(oldest)

    def find(self, key: bytes) -> list[Place]:
        """Return the Batches that may hold a key."""
        with self._mutex:
            return [Place(lane, number) for lane, table in self._tables.items() for number in table.find(key)]

    def catch_up(self, ledger: "Ledger", manager: TransactionManager) -> None:
        """Read what is new in the log: all of it at first, later what other processes wrote."""
        if self._is_loaded and (not self.is_shared or _has(manager, self._read)):
            return
        with self._mutex:
            for name in {self.lane, *ledger.lanes}:
                if name not in self._tables:
                    self._tables[name] = Table(Runs.load(self._folder, name, ledger))
                self._read_lane(name, ledger)
            self._is_loaded = True
        manager.get().set_data(self._read, True)

    def _read_lane(self, name: str, ledger: "Ledger") -> None:
        table = self._tables[name]
        for count, (number, batch) in enumerate(ledger.after(name, table.seen), 1):
            table.add(number, [row[0] for row in batch.rows])
            batch._p_deactivate()
            if count % GHOSTS_EVERY == 0:
                ledger._p_jar.cacheGC()
        table.runs.forget(ledger.oldest(name))


def _has(manager: TransactionManager, mark: object) -> bool:
    """Return whether the running transaction has data under a mark."""
    try:
        manager.get().data(mark)
    except KeyError:
        return False
    return True
