"""Compress: store the cold segments of a Data Stream in less room."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from haywain import clock
from haywain.activity.care import wanting
from haywain.activity.kind import Due, Kind, NoParameters, Work
from haywain.document import Document
from haywain.portal_types.data_stream import DataStream

if TYPE_CHECKING:
    from haywain.portal import Portal

_DAY_S = 86_400


class _Parameters(NoParameters):
    all_sealed: bool = Field(False, description="Also segments that are not old enough for the stream.")


class Compress(Kind):
    """Compress the segments of a stream that are older than it says, one a step, the oldest first.

    What is read stays the same.  A segment that would not become smaller by a sixteenth is left alone.  The
    portal runs it by itself, every hour where there is something.
    """

    name = "compress"
    title = "Compress"
    portal_types = ("Data Stream",)
    parameters = _Parameters
    every_s = 3600.0

    def due(self, portal: "Portal", since_s: float, now_s: float) -> Due:
        """Return the streams with a cold segment."""
        due = Due()
        for document in wanting(portal, self.name, due):
            stream = cast(DataStream, document)
            if stream.cold(_limit_s(stream, now_s)) is not None:
                due.found[stream.path] = {}
        return due

    def suits(self, document: Document) -> str:
        """Say that there is nothing to compress."""
        return "" if document.size else "The stream is empty"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Compress; the result tells how many segments, and what the stream takes now."""
        stream, given = cast(DataStream, work.document), cast(_Parameters, work.parameters)
        limit_s = float("inf") if given.all_sealed else _limit_s(stream, clock.now_s())
        done = work.cursor.setdefault("compressed", 0)
        while (start := stream.cold(limit_s)) is not None:
            work.check()
            done += stream.compress(start)
            work.cursor["compressed"] = done
            yield min((start - stream.start) / max(stream.size - stream.start, 1), 1.0)
        return {"compressed": done, "size": stream.size - stream.start, "stored_bytes": stream.stored_bytes}


def _limit_s(stream: DataStream, now_s: float) -> float:
    """Return before which moment the last byte of a cold segment came; 0 where none is cold."""
    days = stream.properties.compress_after_days
    return now_s - days * _DAY_S if days else 0.0
