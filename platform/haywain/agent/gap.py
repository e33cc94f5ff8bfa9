"""What to send again where a portal was restored from a backup, and has lost what it had acknowledged."""

from collections.abc import Iterable
from typing import NamedTuple

from haywain.agent.backlog import Place
from haywain.agent.frame import Frame, Stream
from haywain.agent.marks import Marks, Number
from haywain.agent.segment import Segment


class Missing(NamedTuple):
    """The chunks from `first` to `last` of an epoch, which the portal had acknowledged and waits for."""

    epoch: int
    first: int
    last: int

    @classmethod
    def of(cls, expected: int, number: Number, previous: Number | None) -> "Missing":
        """Return what is missing before a chunk where the portal waits for the number `expected`.

        That is of the epoch of `previous`, if that was sent with the chunk.
        """
        epoch, last = previous or (number.epoch, number.seq - 1)
        return cls(epoch, expected, last)

    def __bool__(self) -> bool:
        """Return whether there is anything."""
        return self.first <= self.last


class Kept(NamedTuple):
    """A frame that is acknowledged and still in the spool."""

    place: Place
    order: tuple[int, int]
    number: Number
    source: str
    size_bytes: int


def kept_before(frame: Frame, missing: Missing, kept: Iterable[Segment], marks: Marks) -> list[Kept]:
    """Return the frames to send again before this one, in order, as far as they are here.

    Where the portal waits for 0 it knows nothing of the epoch, so that all that are here may be wanted; it
    answers `duplicate` for those it has.
    """
    found = [
        Kept(
            Place(segment.number, offset), other.order, marks.number(other), other.source, len(other.payload)
        )
        for segment in kept
        for offset, _, other in segment.frames()
        if other.stream == frame.stream and other.payload and other.order < frame.order
    ]
    if not missing.first:
        return found
    wanted = [e for e in found if e.number.epoch == missing.epoch and e.number.seq >= missing.first]
    first, seq = len(wanted), missing.last + 1
    while first and wanted[first - 1].number.seq == seq - 1:
        first, seq = first - 1, seq - 1
    return wanted[first:]


def last_acknowledged(kept: Iterable[Segment], marks: Marks) -> dict[Stream, Kept]:
    """Return the last acknowledged frame of each stream, as far as it is here and its epoch is not over."""
    found: dict[Stream, Kept] = {}
    for segment in kept:
        for offset, _, frame in segment.frames():
            if frame.payload and frame.order == marks.acknowledged(frame.stream) and not marks.is_over(frame):
                place, number = Place(segment.number, offset), marks.number(frame)
                found[frame.stream] = Kept(place, frame.order, number, frame.source, len(frame.payload))
    return found
