"""Verify: all bytes of a stream or an array are as they were written."""

from typing import Any, cast

import numpy as np

from haywain.activity.kept import Arrays
from haywain.activity.kind import Work
from haywain.activity.map_reduce import MapReduce, Part
from haywain.document import Document
from haywain.errors import CorruptDataError
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.data_stream import DataStream
from haywain.values import MIB

PROBLEMS_MAX = 1000
"""Most places of damage that the result names."""


class Verify(MapReduce):
    """Read everything and compare it with its checksums; name the places, of about 1 MiB, that are damaged.

    `haywain verify` checks the whole database, with what holds it together; this checks one document, on all
    Workers there are.
    """

    name = "verify"
    title = "Verify"
    portal_types = ("Data Stream", "Data Array")
    step_bytes = 64 * MIB

    def suits(self, document: Document) -> str:
        """Say that there is nothing to verify."""
        return "" if document.size else "There is nothing in it yet"

    def rests_on(self, source: Document, start: int, stop: int, given: object) -> bytes:
        """Remember nothing: what was sound may be damaged by now."""
        return b""

    def map(self, part: Part) -> Arrays:
        """Return how much was looked at, and what of it is damaged."""
        begin = max(part.start, getattr(part.source, "start", 0))
        bad = list[tuple[int, int]]()
        step = self.step_of(part.source, MIB)
        for start in range(begin, part.stop, step):
            part.check()
            stop = min(start + step, part.stop)
            try:
                _check(part.source, start, stop)
            except CorruptDataError:
                bad.append((start, stop))
        checked = np.array([max(part.stop - begin, 0)])
        return {"bad": np.array(bad, np.int64).reshape(-1, 2), "checked": checked}

    def reduce(self, one: Arrays, other: Arrays) -> Arrays:
        """Put two neighbours together; damage that touches is one place."""
        bad = np.concatenate([one["bad"], other["bad"]])
        return {"bad": bad, "checked": one["checked"] + other["checked"]}

    def finish(self, work: Work, known: Arrays, total: Arrays) -> dict[str, Any]:  # Any: JSON
        """Return how much was checked, in bytes or rows, and where it is damaged."""
        unit = "rows" if isinstance(work.document, DataArray) else "bytes"
        places = _joined(total["bad"].tolist())
        if places:
            work.log(f"{len(places)} places are damaged; `haywain restore` brings them back from a backup")
        return {
            unit: int(total["checked"][0]),
            "damaged": [{"start": start, "stop": stop} for start, stop in places[:PROBLEMS_MAX]],
            "is_sound": not places,
        }


def _check(source: Document, start: int, stop: int) -> None:
    """Raise CorruptDataError if these rows or bytes are damaged."""
    if isinstance(source, DataArray):
        source.verify(start, stop)
        return
    for _ in cast(DataStream, source).chunks(start, stop):
        pass


def _joined(places: list[list[int]]) -> list[tuple[int, int]]:
    """Return places of which none touches the next."""
    found = list[tuple[int, int]]()
    for start, stop in places:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found
