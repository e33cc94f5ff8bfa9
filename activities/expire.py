"""Expire: let the oldest bytes of a Data Stream go, as its retention says."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from haywain import clock
from haywain.activity.care import wanting
from haywain.activity.kind import Due, Kind, Work
from haywain.document import Document
from haywain.portal_types.data_stream import DataStream

if TYPE_CHECKING:
    from haywain.portal import Portal

_DAY_S = 86_400
_SHARES = 8
"""The tail is closed when it spans such a share of the retention: only whole generations expire."""


class Expire(Kind):
    """Forget the generations of a stream that are older than its retention, or beyond its bytes.

    Only whole ones (64 MiB at most) go, so that bytes stay up to an eighth longer.  Offsets stay what they
    were; the next pack frees the disk.  The portal runs it by itself, every hour where there is something.
    """

    name = "expire"
    title = "Expire"
    portal_types = ("Data Stream",)
    permission = "edit"
    every_s = 3600.0

    def due(self, portal: "Portal", since_s: float, now_s: float) -> Due:
        """Return the streams with a retention of which something is over it."""
        due = Due()
        for document in wanting(portal, self.name, due):
            stream = cast(DataStream, document)
            is_over = stream.expiring(_limit(stream, now_s)) > stream.start
            if is_over or _is_tail_long(stream, now_s):
                due.found[stream.path] = {}
        return due

    def suits(self, document: Document) -> str:
        """Say that there is no retention, or nothing to let go."""
        stream = cast(DataStream, document)
        if not stream.size:
            return "The stream is empty"
        found = stream.properties
        return "" if found.retention_days or found.retention_bytes else "The stream keeps its bytes for ever"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Expire; the result tells where the stream begins now, and how many bytes went."""
        stream, now_s = cast(DataStream, work.document), clock.now_s()
        first = work.cursor.setdefault("first", stream.start)
        if _is_tail_long(stream, now_s):
            stream.close_tail()
            yield 0.5
        start = stream.expire(_limit(stream, now_s))
        return {"start": start, "expired": start - first}


def _limit(stream: DataStream, now_s: float) -> int:
    """Return the offset before which bytes are over the retention."""
    found = stream.properties
    by_time = stream.at_time(now_s - found.retention_days * _DAY_S) if found.retention_days else 0
    by_size = max(stream.size - found.retention_bytes, 0) if found.retention_bytes else 0
    return max(by_time, by_size)


def _is_tail_long(stream: DataStream, now_s: float) -> bool:
    """Return whether the generation at the end spans so much that it would expire late."""
    found, (size, _, began_s) = stream.properties, stream.tail
    is_old = now_s - began_s > found.retention_days * _DAY_S / _SHARES
    is_large = size * _SHARES > found.retention_bytes
    return size > 0 and bool((found.retention_days and is_old) or (found.retention_bytes and is_large))
