"""Map-reduce: work that is done in parts, each by itself, and put together in the order of the parts.

    class Total(MapReduce):
        name, title, portal_types = "total", "Sum up", ("Data Array",)

        def map(self, part: Part) -> Arrays:
            return {"sum": part.source.read(part.start, part.stop).sum(axis=0)}

        def reduce(self, one: Arrays, other: Arrays) -> Arrays:
            return {"sum": one["sum"] + other["sum"]}

Only `map` must be said.  Run on a document (`document.activate().total()`) it goes through the parts one
after the other, and a kill costs some of them.  As a Job (`portal.map_reduce("total", source)`) each part is
an activity of its own, on as many Workers as there are.  `reduce` is given neighbours, so it need not
commute, but it must not matter which of them are put together first.
"""

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import BaseModel

from haywain.activity.kept import Arrays
from haywain.activity.kind import Kind, Result, Work
from haywain.activity.product import check_edition, edition_of
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.store.array import Array
from haywain.values import MIB

PARTS_MAX = 100_000


@dataclass(frozen=True)
class Part:
    """What one part of the work is given: rows of an array, or bytes of another source."""

    source: Document
    start: int
    stop: int
    length: int
    """How long the whole is, as far as this work goes."""
    parameters: BaseModel
    known: Arrays = field(default_factory=dict)
    """What the passes before this one have found; empty in the first."""
    rows: Array | None = None
    """Where the rows of this part go, for a `RowMap`."""
    check: Callable[[], None] = lambda: None
    """Raises where the work is to end: to be called in long loops."""
    log: Callable[[str], None] = lambda _: None
    """Adds a line to the log of the activity."""


class MapReduce(Kind):
    """One kind of work that is done in parts."""

    step_bytes = 16 * MIB
    """About so much of the source is a part, where nothing else is asked for."""
    state_times = 16
    """One after the other, parts of so many times the bytes that are kept with them make a step."""
    passes = 1
    """How many passes there are, to tell the progress."""
    version = 1
    """To be raised when the parts come to something else than before: then nothing remembered holds."""

    def length(self, source: Document, given: BaseModel) -> int:
        """Return how long a source is, an array in rows, others in bytes.

        Raises InvalidError for what cannot be worked on.
        """
        return len(source) if _has_rows(source) else source.size

    def check_given(self, source: Document, given: BaseModel) -> None:
        """Raise InvalidError for parameters that this source cannot be worked on with."""

    def cuts(self, source: Document, length: int, step_bytes: int, given: BaseModel) -> Iterator[int]:
        """Yield where the parts end, in order, the last at `length`.

        A part is of whole records: whichever the step, each record is in one part, and in one only.
        """
        step = self.step_of(source, step_bytes)
        yield from range(step, length, step)
        yield length

    def step_of(self, source: Document, step_bytes: int) -> int:
        """Return how much of the source is so many bytes, in its unit; at least 1."""
        unit_bytes = max(getattr(source, "row_bytes", 1), 1) if _has_rows(source) else 1
        return max(step_bytes // unit_bytes, 1)

    def rests_on(self, source: Document, start: int, stop: int, given: BaseModel) -> bytes:
        """Return what is the same as long as a part comes to the same; b"" where that is not known."""
        told: Callable[[int, int], bytes] | None = getattr(source, "fingerprint", None)
        return told(start, stop) if told is not None else b""

    @abstractmethod
    def map(self, part: Part) -> Arrays:
        """Return what a part comes to; it changes nothing."""

    def reduce(self, one: Arrays, other: Arrays) -> Arrays:
        """Return what two neighbours come to together; where a kind does not say, their rows in order."""
        return {name: np.concatenate([rows, other[name]]) for name, rows in one.items()}

    def again(self, known: Arrays, total: Arrays) -> Arrays | None:
        """Return what another pass over the parts is to know; None where this was the last.

        What has a name that begins with `_` is kept for `finish`, and not given to the parts.
        """
        return None

    def finish(self, work: Work, known: Arrays, total: Arrays) -> Result:
        """Write what comes of it, in one transaction, and return the result, JSON.

        Where a kind does not say, nothing is written, and the numbers are the result.
        """
        return {name: array.tolist() for name, array in total.items()}

    def run(self, work: Work) -> Generator[float, None, Result]:
        """Do all parts here, one after the other."""
        cursor, source = work.cursor, work.document
        self.check_given(source, work.parameters)
        length = cursor.setdefault("length", self.length(source, work.parameters))
        edition = cursor.setdefault("edition", edition_of(source))
        ends = cuts_of(self, source, length, self.step_bytes, work.parameters)
        known, total = _apart(work.kept)
        done = cursor.setdefault("done", 0)
        kept_at = 0
        while True:
            for number, (start, stop) in enumerate(pairwise([0, *ends])):
                if number < done:
                    continue
                work.check()
                check_edition(source, edition)
                told = {name: array for name, array in known.items() if is_for_parts(name)}
                part = Part(source, start, stop, length, work.parameters, told, work.rows)
                found = self.map(replace(part, check=work.check, log=work.log))
                total = self.reduce(total, found) if total else found
                kept_at += stop - start
                if self._is_step(source, kept_at, known, total) and stop < length:
                    cursor["done"], work.kept, kept_at = number + 1, _together(known, total), 0
                    yield self.share(cursor.get("passes", 0) + stop / max(length, 1))
            further = self.again(known, total)
            if further is None:
                return self.finish(work, known, total)
            known, total, done = further, {}, 0
            cursor |= {"done": 0, "passes": cursor.get("passes", 0) + 1}
            work.kept = _together(known, {})
            yield self.share(cursor["passes"])

    def share(self, passed: float) -> float:
        """Return the progress after so many passes."""
        return min(passed / self.passes, 1.0)

    def _is_step(self, source: Document, done: int, known: Arrays, total: Arrays) -> bool:
        size = sum(array.nbytes for array in (*known.values(), *total.values()))
        return done >= self.step_of(source, max(self.step_bytes, self.state_times * size))


def cuts_of(kind: MapReduce, source: Document, length: int, step_bytes: int, given: BaseModel) -> list[int]:
    """Return where the parts of a source end; raises InvalidError for too many."""
    found = list[int]()
    for end in kind.cuts(source, length, step_bytes, given):
        found.append(end)
        if len(found) > PARTS_MAX:
            raise InvalidError(f"{PARTS_MAX} parts are the most; take longer steps than {step_bytes} bytes")
    return found


def _has_rows(source: Document) -> bool:
    return hasattr(type(source), "row_bytes")


def is_for_parts(name: str) -> bool:
    """Return whether what is known under a name is given to the parts."""
    return not name.startswith("_")


def _together(known: Arrays, total: Arrays) -> Arrays:
    both = {"known": known, "total": total}
    return {f"{where} {name}": array for where, arrays in both.items() for name, array in arrays.items()}


def _apart(kept: Arrays) -> tuple[Arrays, Arrays]:
    known, total = dict[str, Any](), dict[str, Any]()
    for name, array in kept.items():
        where, _, plain = name.partition(" ")
        (known if where == "known" else total)[plain] = array
    return known, total
