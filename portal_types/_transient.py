"""Transient rows: what one Data Analysis makes, handed to others in the same transaction, and never stored.

Who takes them has a Progress Indicator of its own, which counts the rows that it was given.  If that is not
what there is (it was made later, or was stopped for a while), all of it is made anew: the rows are nowhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from haywain.activity.actor import acting_as
from haywain.activity.kind import Work
from haywain.activity.map_reduce import Part
from haywain.activity.row_map import Following, RowMap
from haywain.activity.watchers import Watchers
from haywain.analysis.rows import Layout, Rows
from haywain.document import Document
from haywain.errors import HaywainError
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.data_transformation import DataTransformation
from haywain.security import User, require
from haywain.values import Column

if TYPE_CHECKING:
    from haywain.portal import Portal


class RowsInMemory(DataArray):
    """What a kind of work is given in place of a Data Array: rows that lie nowhere."""

    def __init__(self, portal: "Portal", layout: Layout, rows: Rows) -> None:
        """Show rows; whoever works on them finds other documents by the portal."""
        columns = tuple(Column(name)._asdict() for name in layout.names)
        super().__init__(columns=columns, rate_hz=layout.rate_hz)
        self.portal, self._rows = portal, np.asarray(rows, layout.dtype).reshape(-1, *layout.row_shape)

    @property
    def is_created(self) -> bool:
        """It is."""
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension."""
        return self._rows.shape

    @property
    def dtype(self) -> np.dtype[Any]:  # Any: any scalar type
        """The type of each item."""
        return self._rows.dtype

    @property
    def row_bytes(self) -> int:
        """The bytes of a row."""
        return self._rows.nbytes // max(len(self._rows), 1)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:  # Any: as above
        """Return rows."""
        return self._rows[start:stop]


@dataclass
class Taker:
    """A Data Analysis that is given rows, as whom, and how it takes them."""

    analysis: Any  # Any: a Data Analysis, whose module needs this one
    transformation: DataTransformation
    kind: RowMap
    given: Any  # Any: the parameters of that
    user: User
    following: Following | None = field(default=None)

    @property
    def indicator(self) -> Any:  # Any: a Progress Indicator
        """How many rows it was given."""
        return self.analysis.portal[self.analysis.lines_of("in")[0].properties.indicator]


def takers_of(analysis: Any) -> Iterator[Taker]:  # Any: a Data Analysis
    """Yield who is given the transient rows that a Data Analysis makes, now."""
    portal = analysis.portal
    for line in analysis.lines_of("out"):
        if line.properties.use == "transient":
            for path in Watchers.of(portal.root).of_path(line.properties.resource):
                yield from _taker(portal, path, line)


def _taker(portal: "Portal", path: str, line: Document) -> Iterator[Taker]:
    transformation = portal[path]
    if not isinstance(transformation, DataTransformation) or transformation.state != "validated":
        return
    analysis: Any = transformation.analysis_of(line)
    if analysis is None or analysis.state != "started":
        return
    try:
        user = transformation.user()
        require(user, "view", analysis)
        for output in analysis.outputs():
            require(user, "edit", output)
        kind, given = transformation.work()
    except HaywainError as error:
        analysis.course.refuse(error.detail)
        return
    yield Taker(analysis, transformation, cast(RowMap, kind), kind.parameters.model_validate(given), user)


def is_missed(analysis: Any) -> bool:  # Any: as above
    """Return whether somebody who takes its rows lacks some of them, or would make something else of them."""
    made = analysis.portal[analysis.lines_of("in")[0].properties.indicator].position.rows
    nothing = RowsInMemory(analysis.portal, Layout(np.dtype("<f8"), ()), np.zeros(0))
    return any(_lacks(one, made, nothing) or is_missed(one.analysis) for one in takers_of(analysis))


def _lacks(taker: Taker, made: int, nothing: RowsInMemory) -> bool:
    at = taker.indicator.position
    with acting_as(nothing.portal, taker.user):
        said = taker.kind.rests_on_too(nothing, taker.given)
    return bool(at.offset != made or (made and at.reading != said))


def _held(takers: Iterable[Taker]) -> Iterator[Document]:
    for taker in takers:
        yield from (taker.analysis, taker.transformation)
        yield from _held(takers_of(taker.analysis))


class HandOn:
    """The target of a Data Analysis whose rows are transient: it has who takes them do so."""

    is_created = True
    path = ""

    def __init__(self, analysis: Any, cursor: dict[str, Any]) -> None:  # Any: JSON
        """Hand on to those who are there when a run begins; the cursor remembers them."""
        self._portal = analysis.portal
        every = list(takers_of(analysis))
        known = cursor.setdefault("takers", {taker.analysis.path: {} for taker in every})
        self._cursors = known
        self.takers = [taker for taker in every if taker.analysis.path in known]

    @property
    def held(self) -> list[Document]:
        """What must not change beside a step."""
        return list(_held(self.takers))

    def take(self, work: Work, layout: Layout, start_over: bool) -> None:
        """Learn what the rows look like, and whether all are made anew."""
        self._work, self._layout, self._starts_over = work, layout, start_over

    def _begin(self, taker: Taker, source: RowsInMemory) -> Following:
        """Have somebody begin, or go on; raises HaywainError."""
        cursor, analysis = self._cursors[taker.analysis.path], taker.analysis
        target: Any = HandOn(analysis, cursor) if analysis.hands_on else analysis.outputs()[0]
        theirs = Work(
            self._portal,
            source,
            taker.given,
            cursor,
            id=self._work.id,
            target=target,
            indicator=taker.indicator,
            on_check=self._work.on_check,
        )
        said = taker.kind.rests_on_too(source, taker.given)
        return Following(theirs, taker.kind.layout(source, taker.given), self._starts_over, said)

    def append(self, rows: Rows) -> None:
        """Hand rows on, each taker as its own user."""
        source = RowsInMemory(self._portal, self._layout, rows)
        for taker in self.takers:
            with acting_as(self._portal, taker.user):
                part = Part(source, 0, len(source), len(source), taker.given, check=self._work.check)
                following = taker.following = taker.following or self._begin(taker, source)
                count = sum(map(following.append, taker.kind.rows(part)))
                at = following.position
                following.move(at.offset + len(source), at.rows + count)

    def adopt(self, _draft: object) -> None:
        """Have all adopt what they have made anew; of the rows themselves nothing stays."""

    def edit(self, **_changes: object) -> None:
        """Note nothing."""

    def finish(self) -> None:
        """Note what each has made."""
        for taker in self.takers:
            if taker.following is not None:
                target, rows = taker.following.target, taker.following.finish()
                if isinstance(target, HandOn):
                    target.finish()
                named = {"array": target.path} if target.path else {}
                if named:
                    with acting_as(self._portal, taker.user):
                        taker.kind.note(target, taker.following.source, taker.given)
                taker.analysis.course.done({**named, "rows": rows})
