"""The ledger: which keys have been stored, so that a chunk sent twice is stored once.

It is a log.  A transaction that stores keys adds one Batch with all of its receipts, in the transaction of
the bytes, so the two never disagree.  Random keys in one large tree would cost most of a commit.

    Ledger ── lanes: name -> Lane               one for each data directory that writes, so that two
              Lane ── days: day -> number -> Batch   processes on one database never write one tree
           ── guards: number -> Guard           where there are several: two that store one key write one
                                                Guard, so that the second conflicts, and then finds the first

Where a key lies is known by the Receipts (`receipts.py`), an index in memory.  Days out of the window are
dropped whole.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from BTrees.LOBTree import LOBTree
from BTrees.OOBTree import OOBTree
from persistent import Persistent
from ZODB.POSException import ConflictError
from ZODB.utils import z64

from haywain import clock
from haywain.ingestion.receipts import Place, Receipts, day_of
from haywain.store.database import tid_of
from haywain.values import Offset, Path, Receipt, Tid

if TYPE_CHECKING:
    from haywain.document import PortalRoot

_DAY_S = 86_400
_GUARDS = 1 << 16

Row = tuple[bytes, str, str, int, int, int, bytes]
"""Key, status, path, offset and length of the receipt; length and digest of the body."""


@dataclass(frozen=True)
class BodyIdentity:
    """By what a body is known again: its length in bytes and its hash, once decoded."""

    length: int
    digest: bytes

    @classmethod
    def of(cls, body: Iterable[bytes | memoryview]) -> "BodyIdentity":
        """Return the identity of a body given in pieces."""
        digest, length = hashlib.blake2b(digest_size=16), 0
        for piece in body:
            digest.update(piece)
            length += len(piece)
        return cls(length, digest.digest())


@dataclass(frozen=True)
class Known:
    """A receipt and the identity of the decoded body it was given for (gzip bytes differ at each retry)."""

    status: str
    path: str
    offset: int
    length: int
    body: BodyIdentity
    tid: Tid

    def matches(self, body: BodyIdentity) -> bool:
        """Return whether this is the body that was stored."""
        return body == self.body

    def is_prefix_of(self, body: bytes) -> bool:
        """Return whether the body stored begins this one (fluentd after a power loss adds to a chunk)."""
        begins = 0 < self.body.length < len(body)
        return begins and self.matches(BodyIdentity.of([body[: self.body.length]]))

    def receipt(self) -> Receipt:
        """Return the first receipt, as that of a duplicate; without its transaction if that is this one."""
        return Receipt("duplicate", Path(self.path), Offset(self.offset), self.length, self.tid)


class LedgerEntry(Persistent):  # type: ignore[misc]  # persistent has no types
    """What earlier versions kept for each key, until it is out of the window."""

    status, path, offset, length, body_length, digest = "", "", 0, 0, 0, b""

    def known(self) -> Known:
        """Return it in the form of today."""
        self._p_activate()
        body = BodyIdentity(self.body_length, self.digest)
        return Known(self.status, self.path, self.offset, self.length, body, tid_of(self))


class Batch(Persistent):  # type: ignore[misc]  # persistent has no types
    """The receipts of one transaction."""

    rows: tuple[Row, ...] = ()
    _v_by_key: tuple[dict[bytes, Row], int] | None = None

    def entry(self, key: bytes) -> Known | None:
        """Return what is known of a key, the last that was added."""
        row = self._by_key().get(key)
        if row is None:
            return None
        _, status, path, offset, length, body_length, digest = row
        tid = Tid("") if self._p_serial in (None, z64) else tid_of(self)
        return Known(status, path, offset, length, BodyIdentity(body_length, digest), tid)

    def _by_key(self) -> dict[bytes, Row]:
        """Return the rows by their keys: a chunk of many records asks for each."""
        rows = self.rows
        found, count = self._v_by_key or ({}, 0)
        if count < len(rows):
            found.update((row[0], row) for row in rows[count:])
            self._v_by_key = found, len(rows)
        return found


class Lane(Persistent):  # type: ignore[misc]  # persistent has no types
    """The Batches of one writer by their number, which holds the day."""

    def __init__(self) -> None:
        """Begin empty."""
        self.days = LOBTree()

    def batch(self, number: int) -> Batch | None:
        """Return the Batch of a number; None if it is not there, or no longer."""
        day = self.days.get(day_of(number))
        return None if day is None else cast("Batch | None", day.get(number))

    @property
    def last(self) -> int:
        """The number of the last Batch; -1 without any."""
        return next((int(day.maxKey()) for day in reversed(list(self.days.values())) if day), -1)

    def after(self, number: int) -> Iterator[tuple[int, Batch]]:
        """Yield the Batches behind a number."""
        for day in list(self.days.values(min=max(day_of(number), 0))):
            yield from day.items(min=number + 1)

    def add(self, number: int) -> Batch:
        """Return a new Batch."""
        day = day_of(number)
        if day not in self.days:
            self.days[day] = LOBTree()
        batch = self.days[day][number] = Batch()
        return batch

    def forget(self, before: int) -> None:
        """Drop the days before one, but not the last: it tells how far the numbers have come."""
        for old in list(self.days.keys(max=min(before, self.days.maxKey()) - 1)) if self.days else ():
            del self.days[old]


class Guard(Persistent):  # type: ignore[misc]  # persistent has no types
    """Written by whoever stores one of some keys: of two at once, the second conflicts."""

    writes = 0


class Ledger(Persistent):  # type: ignore[misc]  # persistent has no types
    """Entries by the hash of (scope, policy, key)."""

    days = OOBTree()  # of earlier versions: day -> (key -> LedgerEntry)

    def __init__(self) -> None:
        """Begin empty."""
        self.begin_log()

    def begin_log(self) -> None:
        """Keep a log from now on; what an earlier version has kept stays known."""
        self.lanes = OOBTree()
        self.guards = LOBTree()
        self.producers = OOBTree()  # policy -> (hash of (scope, policy, producer, tag) -> ProducerState)

    @classmethod
    def of(cls, root: "PortalRoot") -> "Ledger":
        """Return the ledger of a portal."""
        return cast(Ledger, root.tools["ledger"])

    @property
    def _receipts(self) -> Receipts:
        found: Receipts = self._p_jar.portal.site.receipts
        return found

    def find(self, key: bytes) -> Known | None:
        """Return the entry of a key, the newest if there are several.

        Raises ConflictError if another transaction has stored one that this one cannot see.
        """
        receipts, manager = self._receipts, self._p_jar.transaction_manager
        own = receipts.own(manager)
        batch = self._batch(own) if own is not None else None
        entry = batch.entry(key) if batch is not None else None
        if entry is not None:
            return entry
        receipts.catch_up(self, manager)
        entries = [batch.entry(key) for batch in map(self._visible, receipts.find(key)) if batch is not None]
        found = [entry for entry in entries if entry is not None]
        return max(found, key=lambda entry: entry.tid, default=None) or self._before(key)

    def _before(self, key: bytes) -> Known | None:
        """Return what an earlier version has kept of a key."""
        entries = (day.get(key) for day in reversed(list(self.days.values())))
        return next((entry.known() for entry in entries if entry is not None), None)

    def add(self, key: bytes, receipt: Receipt, body: BodyIdentity, window_days: int) -> None:
        """Remember a receipt under a key, as `add_all` does."""
        self.add_all([key], receipt, body, window_days)

    def add_all(self, keys: list[bytes], receipt: Receipt, body: BodyIdentity, window_days: int) -> None:
        """Remember a receipt under each of some keys, in place of an older one of such a key.

        From then on until this transaction ends no other one of this process adds any.  Raises ConflictError
        if another transaction has stored one of the keys meanwhile.
        """
        if not keys:
            return
        receipts = self._receipts
        place = receipts.begin(self, self._p_jar.transaction_manager)
        for other in [other for key in keys for other in receipts.find(key)]:
            self._visible(other)
        batch = self._batch(place)
        if batch is None:
            if place.lane not in self.lanes:
                self.lanes[place.lane] = Lane()
            batch = self._begin_batch(place, window_days)
        told = (receipt.status, receipt.path, receipt.offset, receipt.length, body.length, body.digest)
        batch.rows = (*batch.rows, *((key, *told) for key in keys))
        if receipts.is_shared:
            for key in keys:
                self._guard(key)

    def _begin_batch(self, place: Place, window_days: int) -> Batch:
        """Return a new Batch; the first of a day drops what is out of the window, of all lanes.

        The window ends at most a day after the last one there was: a clock that is wrong once drops nothing.
        """
        lane, day = self.lanes[place.lane], day_of(place.number)
        if day not in lane.days:
            last = max(day_of(each.last) for each in self.lanes.values())
            oldest_day = min(day, last + 1) - window_days
            for each in self.lanes.values():  # also of data directories that are gone
                each.forget(oldest_day)
            for old in list(self.days.keys(max=oldest_day - 1)):
                del self.days[old]
        batch: Batch = lane.add(place.number)
        return batch

    def next_number(self, place: Place) -> int:
        """Return the number of the next Batch of a lane, after one that is known to be taken."""
        last = self.lanes[place.lane].last if place.lane in self.lanes else -1
        return max(last + 1, place.number + 1, int(clock.now_s() // _DAY_S) << 40)

    def keys_of(self, lane: str, number: int) -> list[bytes]:
        """Return the keys of a Batch; none if it is not there."""
        batch = self._batch(Place(lane, number))
        return [] if batch is None else [row[0] for row in batch.rows]

    def after(self, lane: str, number: int) -> Iterator[tuple[int, Batch]]:
        """Yield the Batches of a lane behind a number."""
        return self.lanes[lane].after(number) if lane in self.lanes else iter(())

    def oldest(self, lane: str) -> int:
        """Return the least number that a Batch of a lane may have, since its days were dropped before."""
        days = self.lanes[lane].days if lane in self.lanes else ()
        return int(days.minKey()) << 40 if days else 0

    def _batch(self, place: Place) -> Batch | None:
        lane = self.lanes.get(place.lane)
        return None if lane is None else lane.batch(place.number)

    def _visible(self, place: Place) -> Batch | None:
        """Return the Batch of a place; None if it was dropped; raises ConflictError if it is too new."""
        batch = self._batch(place)
        if batch is None and (place.lane not in self.lanes or place.number > self.lanes[place.lane].last):
            raise ConflictError("a key was stored beside this transaction")
        return batch

    def _guard(self, key: bytes) -> None:
        number = int.from_bytes(key[:4], "big") % _GUARDS
        if number not in self.guards:
            self.guards[number] = Guard()
        self.guards[number].writes += 1


def ledger_key(scope: str, policy: str, key: str) -> bytes:
    """Return the hash under which a sender's key is kept: never global, bound to token and policy."""
    return hashlib.blake2b(
        "\0".join((scope, policy, key)).encode("utf-8", "surrogateescape"), digest_size=16
    ).digest()


def is_log(ledger: Any) -> bool:  # Any: what an earlier version stored
    """Return whether a ledger is a log; an earlier one kept trees of keys."""
    return hasattr(ledger, "lanes")
