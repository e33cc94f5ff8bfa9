"""Seal: pack what a Data Stream holds as records into immutable segments."""

import logging
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from haywain.activity.care import want, wanting
from haywain.activity.kind import Due, Kind, NoParameters, Work
from haywain.catalog import Range
from haywain.catalog.query import decode_cursor
from haywain.document import Document
from haywain.portal_types.data_stream import DataStream
from haywain.values import MIB

if TYPE_CHECKING:
    from haywain.portal import Portal

_REST_S = 600
"""A tail to which nobody has appended for so long is closed."""

_LEAST_BYTES, _LEAST_RECORDS = MIB, 1024
"""A smaller tail is left as it is: a slow stream would become thousands of tiny files."""

_PAGE = 500

_log = logging.getLogger(__name__)


class _Parameters(NoParameters):
    close_tail: bool = Field(
        True, description="Also the last part, which is still appended to; the next bytes begin another."
    )


class Seal(Kind):
    """Pack each closed generation of a stream (64 MiB at most) into one blob, one a step.

    Sealed bytes are read faster and without copying.  Readers and writers go on undisturbed; after a kill the
    generations that are sealed already stay so.  The portal runs it by itself where a generation was closed,
    and with the tail where that came to rest.
    """

    name = "seal"
    title = "Seal"
    portal_types = ("Data Stream",)
    parameters = _Parameters
    every_s = 60.0

    def due(self, portal: "Portal", since_s: float, now_s: float) -> Due:
        """Return the streams with closed generations, and those that came to rest with something to seal."""
        due = Due(looked_s=now_s - _REST_S)
        for document in wanting(portal, self.name, due):
            due.found[document.path] = {"close_tail": False}
            due.settled.append(document.path)
        came_to_rest = Range(since_s, due.looked_s)
        hits = portal.catalog(
            portal_type="Data Stream", modified=came_to_rest, sort_on="modified", limit=_PAGE
        )
        for document in hits:
            if (parameters := _at_rest(cast(DataStream, document))) is not None:
                due.found[document.path] = parameters
        if hits.next:
            last_s = float(decode_cursor(hits.next, 2)[0])  # as the catalog has it
            due.looked_s, due.is_all = max(last_s, since_s + 0.001), False
        return due

    def suits(self, document: Document) -> str:
        """Say that there is nothing to pack."""
        return "" if document.size else "The stream is empty"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Seal; the result tells how many generations were packed."""
        stream, given = cast(DataStream, work.document), cast(_Parameters, work.parameters)
        if given.close_tail and not work.cursor.get("closed"):
            stream.close_tail()
            work.cursor["closed"] = True
            yield 0.0
        left = stream.unsealed()
        total = work.cursor.setdefault("sealed", 0) + len(left)
        for start in left:
            work.check()
            work.cursor["sealed"] += stream.seal(start)
            yield work.cursor["sealed"] / max(total, 1)
        want(stream, self.name, False)
        return {"sealed": work.cursor["sealed"]}


def _at_rest(stream: DataStream) -> dict[str, bool] | None:
    """Return how a stream at rest is to be sealed, None if nothing of it is; a damaged one is passed over."""
    try:
        size, count, _ = stream.tail
        is_worth_it = size >= _LEAST_BYTES or count >= _LEAST_RECORDS
        return {"close_tail": is_worth_it} if is_worth_it or stream.unsealed() else None
    except Exception:  # its records may be damaged; other streams are not
        _log.exception("%s could not be looked at", stream.path)
        return None
