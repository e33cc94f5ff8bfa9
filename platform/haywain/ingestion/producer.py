"""Producers: agents that number what they send, so that each is stored once, in order, without a window.

A producer sends, for each tag by itself, `Producer-Seq` 0, 1, 2, ...  in one `Producer-Epoch`, one
request at a time; it begins a larger epoch where it cannot go on (its spool was lost, or the portal was
restored from a backup).  The portal keeps the last position.  What is at or before it is a duplicate;
what leaves a gap is refused with the number that is missing, since a later request would make the missing
one a duplicate; what is of an older epoch is fenced off: two agents with copies of one spool would else
mix.  With the 0 of an epoch a producer may send `Producer-Previous`, the last position that it was told is
kept: a portal that was restored from a backup then sees what it has lost.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from persistent import Persistent

from haywain import clock
from haywain.errors import InvalidError, SequenceError

_MOST = 1 << 63
_ID_CHARACTERS = 128


class Position(NamedTuple):
    """Where a request stands among those of its producer for one tag; a later epoch is a later position."""

    epoch: int
    seq: int


@dataclass(frozen=True)
class Producer:
    """The headers `Producer-Id`, `Producer-Epoch`, `Producer-Seq` and `Producer-Previous` as they came."""

    id: str
    epoch: str
    seq: str
    previous: str = ""

    def position(self) -> Position:
        """Return the numbers; raises InvalidError if the headers are no position.

        >>> Producer("gate-3", "2", "17").position()
        Position(epoch=2, seq=17)
        """
        if not 0 < len(self.id) <= _ID_CHARACTERS or not self.id.isprintable():
            raise InvalidError(f"The Producer-Id must be 1 to {_ID_CHARACTERS} printable characters")
        return Position(_number("Producer-Epoch", self.epoch, 1), _number("Producer-Seq", self.seq, 0))

    def previous_position(self) -> Position | None:
        """Return the last position of the epoch before, where it is told; raises InvalidError if it is none.

        >>> Producer("gate-3", "3", "0", "2.17").previous_position()
        Position(epoch=2, seq=17)
        """
        if not self.previous:
            return None
        epoch, _, seq = self.previous.partition(".")
        found = Position(_number("Producer-Previous", epoch, 1), _number("Producer-Previous", seq, 0))
        if found.epoch >= self.position().epoch:
            raise InvalidError("Producer-Previous must be of an epoch before Producer-Epoch")
        return found

    def key(self, tag: bytes | None) -> str:
        """Return what stands for an Idempotency-Key: the ledger knows the request by it, for its days."""
        name = hashlib.blake2b(
            f"{self.id}\0".encode("utf-8", "surrogateescape") + (tag or b""), digest_size=16
        )
        return f"producer:{name.hexdigest()}:{self.epoch[:20]}:{self.seq[:20]}"


def _number(name: str, value: str, least: int) -> int:
    if not (value.isascii() and value.isdecimal() and least <= int(value[:20]) < _MOST):
        raise InvalidError(f"{name} must be a whole number from {least} on, not {value[:40]!r}")
    return int(value)


class ProducerState(Persistent):  # type: ignore[misc]  # persistent has no types
    """How far one producer is with one tag, and what is told of it."""

    epoch, seq = 0, -1
    seen_s = 0.0  # when its last request was kept, in seconds since 1970 UTC

    def __init__(self, id: str, tag: str, sender: str) -> None:
        """Begin before the first request; `sender` is the token or login."""
        self.id, self.tag, self.sender = id, tag, sender

    def is_due(self, at: Position, previous: Position | None = None) -> bool:
        """Return whether the request at a position comes next; not if it has come.

        `previous` is what the producer was told is kept before it begins an epoch.
        Raises SequenceError where others must come before, or the epoch is over.
        """
        if at.epoch < self.epoch:
            raise SequenceError(
                f"The producer {self.id!r} is in epoch {self.epoch} and this is of {at.epoch}: another agent"
                " goes on in its place, perhaps with a copy of its spool"
            )
        due = self._due(at.epoch)
        if at.seq > due:
            raise self._gap(at.epoch, at.seq - 1, due)
        if at.epoch > self.epoch and previous is not None and previous > (self.epoch, self.seq):
            raise self._gap(previous.epoch, previous.seq, self._due(previous.epoch))
        return at.seq == due

    def take(self, at: Position) -> None:
        """Note that the request at a position is kept."""
        self.epoch, self.seq, self.seen_s = at.epoch, at.seq, clock.now_s()

    def _due(self, epoch: int) -> int:
        return self.seq + 1 if epoch == self.epoch else 0

    def _gap(self, epoch: int, last: int, due: int) -> SequenceError:
        return SequenceError(
            f"Before this the producer {self.id!r} must send {due} to {last} of epoch {epoch}; if it no"
            " longer has those, let it begin a larger epoch with 0",
            due,
        )
