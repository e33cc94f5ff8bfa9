"""What to send again where a portal was restored from a backup, and has lost what it had acknowledged."""

from collections.abc import Iterable
from typing import NamedTuple

from haywain.agent.backlog import Place
from haywain.agent.frame import Frame, Stream
from haywain.agent.marks import Marks, Number
from haywain.agent.segment import Segment


class Kept(NamedTuple):
    """A frame that is acknowledged and still in the spool."""

    place: Place
    order: tuple[int, int]
    number: Number
    source: str
    size_bytes: int


def kept_before(frame: Frame, expected: int, kept: Iterable[Segment], marks: Marks) -> list[Kept]:
    """Return the frames to send again before this one, in order: from `expected` on, as far as they are here.

    Where the portal expects 0 it knows nothing of the epoch, so that all that are here may be wanted; it
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
    if not expected:
        return found
    number = marks.number(frame)
    wanted = [entry for entry in found if entry.number.epoch == number.epoch and entry.number.seq >= expected]
    first, seq = len(wanted), number.seq
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
