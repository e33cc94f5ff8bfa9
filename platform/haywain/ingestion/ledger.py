"""The ledger: which keys have been stored, so that a chunk sent twice is stored once.

An entry is written in the transaction of the append, so the two never disagree, in this process or across
processes: two transactions that add one key conflict in its BTree, and the second, tried again, finds the
first.  Keys lie in one BTree a day; days out of the window are dropped whole.  Near midnight (UTC) an entry
lies in both days, so that two processes conflict also where it is tomorrow for one of them already.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from BTrees.OOBTree import OOBTree
from persistent import Persistent
from ZODB.utils import z64

from haywain import clock
from haywain.store.database import tid_of
from haywain.values import Offset, Path, Receipt, Tid

if TYPE_CHECKING:
    from haywain.document import PortalRoot

_DAY_S = 86_400
_NEAR_S = 900  # of midnight: longer than a transaction takes, and clocks differ


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


class LedgerEntry(Persistent):  # type: ignore[misc]  # persistent has no types
    """A receipt and the identity of the decoded body it was given for (gzip bytes differ at each retry)."""

    def __init__(self, receipt: Receipt, body: BodyIdentity) -> None:
        """Remember both."""
        self.status, self.path, self.offset = receipt.status, receipt.path, receipt.offset
        self.length, self.body_length, self.digest = receipt.length, body.length, body.digest

    def matches(self, body: BodyIdentity) -> bool:
        """Return whether this is the body that was stored."""
        return bool(body.length == self.body_length and body.digest == self.digest)

    def is_prefix_of(self, body: bytes) -> bool:
        """Return whether the body stored begins this one (fluentd after a power loss adds to a chunk)."""
        begins = 0 < self.body_length < len(body)
        return begins and self.matches(BodyIdentity.of([body[: self.body_length]]))

    def receipt(self) -> Receipt:
        """Return the first receipt, as that of a duplicate; without its transaction if that is this one."""
        self._p_activate()
        tid = Tid("") if self._p_serial in (None, z64) else tid_of(self)
        return Receipt("duplicate", Path(self.path), Offset(self.offset), self.length, tid)


class Ledger(Persistent):  # type: ignore[misc]  # persistent has no types
    """Entries by day and by the hash of (scope, policy, key)."""

    def __init__(self) -> None:
        """Begin empty."""
        self.days = OOBTree()

    @classmethod
    def of(cls, root: "PortalRoot") -> "Ledger":
        """Return the ledger of a portal."""
        return cast(Ledger, root.tools["ledger"])

    def find(self, key: bytes) -> LedgerEntry | None:
        """Return the entry of a key, newest day first."""
        for day in self._newest_first():
            entry = day.get(key)
            if entry is not None:
                return cast(LedgerEntry, entry)
        return None

    def add(self, key: bytes, receipt: Receipt, body: BodyIdentity, window_days: int) -> None:
        """Remember a receipt, in place of an older one of this key; drop days out of the window."""
        for tree in self._newest_first():
            tree.pop(key, None)
        now_s, entry = clock.now_s(), LedgerEntry(receipt, body)
        for day in {_day(now_s), _day(now_s - _NEAR_S), _day(now_s + _NEAR_S)}:
            if day not in self.days:
                self.days[day] = OOBTree()
            self.days[day][key] = entry
        for old in list(self.days.keys(max=_day(now_s) - window_days - 1)):
            del self.days[old]

    def _newest_first(self) -> Iterator[OOBTree]:
        yield from reversed(list(self.days.values()))


def _day(moment_s: float) -> int:
    return int(moment_s // _DAY_S)


def ledger_key(scope: str, policy: str, key: str) -> bytes:
    """Return the hash under which a sender's key is kept: never global, bound to token and policy."""
    return hashlib.blake2b(
        "\0".join((scope, policy, key)).encode("utf-8", "surrogateescape"), digest_size=16
    ).digest()
