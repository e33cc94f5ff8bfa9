"""A run of a Data Analysis: to do it anew, kinds that go on and kinds that do not, chains of them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from tests.activity.conftest import drain
from tests.conftest import Clock
from tests.portal_types.analyses.conftest import (
    ANN,
    RAW,
    SIMULATION,
    TO_ROWS,
    VALIDATION,
    analyses,
    make_transformation,
    rows_of,
    sweep,
)

from haywain.activities.stream_to_array import StreamToArray
from haywain.activity.job import Job
from haywain.activity.map_reduce import Part
from haywain.activity.row_map import RowMap
from haywain.analysis.rows import Layout, Rows
from haywain.document import Document
from haywain.errors import DuplicateError
from haywain.portal import Portal, Site
from haywain.portal_types.progress_indicator import ProgressIndicator

Send = Callable[..., None]


class Double(RowMap):
    """Twice each row."""

    name, title, portal_types, follows = "double", "Double it", ("Data Array",), True
    pieces: list[int] = []  # noqa: RUF012  # of this test

    def layout(self, source: Document, given: BaseModel) -> Layout:
        return Layout(np.dtype("<f8"), source.shape[1:])  # type: ignore[attr-defined]

    def rows(self, part: Part) -> Iterator[Rows]:
        self.pieces.append(part.stop - part.start)
        yield 2 * part.source.read(part.start, part.stop)  # type: ignore[attr-defined]


@pytest.fixture
def double(site: Site) -> Double:
    """A kind that goes on row by row, known to the site."""
    kind = Double()
    kind.pieces = []
    site.registry.activities["double"] = kind
    return kind


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamToArray, "step_bytes", 16)


def at_each_step(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> None:
    """Have something happen while a draft has gained rows that are not committed."""
    move = ProgressIndicator.move_draft

    def moving(self: ProgressIndicator, *position: Any) -> None:
        work()
        move(self, *position)

    monkeypatch.setattr(ProgressIndicator, "move_draft", moving)


def refresh(site: Site, number: int = 0) -> Job:
    with site.open(ANN) as portal:
        job = analyses(portal)[number].refresh()
        portal.commit()
        return Job(site.open(ANN), job.id)


def change_parameters(site: Site, recipe: str, parameters: str) -> None:
    """Have a recipe do something else, which takes three steps."""

    def change(portal: Portal) -> None:
        VALIDATION.apply(portal[recipe], "invalidate", "ann")
        portal[recipe].operation.edit(parameters=parameters)  # type: ignore[attr-defined]
        VALIDATION.apply(portal[recipe], "validate", "ann")

    site.transact(change, ANN)


@pytest.mark.usefixtures("small_steps")
def test_while_it_is_done_anew_readers_see_the_old_rows(
    site: Site, recipe: str, send: Send, monkeypatch: pytest.MonkeyPatch, set_clock: Clock
) -> None:
    """What is appended meanwhile is not lost."""
    send(1, 2, 3, 4)
    change_parameters(site, recipe, RAW.replace("f8", "i8"))
    seen: list[list[float]] = []
    more = iter([(5,), (6, 7)])

    def happening() -> None:
        seen.append(rows_of(site))
        for numbers in [next(more, None)]:
            if numbers:
                send(*numbers, is_run=False)

    at_each_step(monkeypatch, happening)
    job = refresh(site)
    drain(site)
    assert job.state == "done" and len(seen) >= 3
    assert all(rows == [1, 2, 3, 4] for rows in seen)
    set_clock.forward(2)
    drain(site)
    as_integers = np.array([1, 2, 3, 4, 5, 6, 7], "<f8").view("<i8").astype(float)
    assert rows_of(site) == list(as_integers)


@pytest.mark.usefixtures("small_steps")
def test_to_cancel_it_leaves_what_was_there_and_goes_on(
    site: Site, recipe: str, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(1, 2, 3, 4)
    job = refresh(site)
    with monkeypatch.context() as context:
        at_each_step(context, job.cancel)
        drain(site)
    assert job.state == "cancelled"
    assert rows_of(site) == [1, 2, 3, 4]
    send(5)
    assert rows_of(site) == [1, 2, 3, 4, 5]
    with site.open() as portal:
        assert not analyses(portal)[0].is_refreshing
        assert analyses(portal)[0].inputs()[0].indicator.draft is None


def test_a_stream_that_is_replaced_is_read_anew(
    site: Site, recipe: str, send: Send, set_clock: Clock
) -> None:
    send(1, 2, 3)
    with site.open() as portal:
        stream: Any = analyses(portal)[0].inputs()[0].document
        stream.replace(np.array([7, 8], "<f8").tobytes())
        portal.commit()
    set_clock.forward(2)
    drain(site)
    assert rows_of(site) == [7, 8]
    send(9)
    assert rows_of(site) == [7, 8, 9]


def chain(site: Site, double: Double) -> None:
    site.transact(lambda p: make_transformation(p, ("double", "{}"), ("rows",), "doubled"), ANN)
    site.transact(lambda p: make_transformation(p, ("statistics", "{}"), ("doubled",)), ANN)


def test_analyses_of_analyses_follow(
    site: Site, recipe: str, send: Send, double: Double, set_clock: Clock
) -> None:
    """From bytes to rows, from rows to twice as much, and the statistics of these."""
    chain(site, double)
    send(1, 2)
    for numbers in [(3,), (4, 5)]:
        send(*numbers)
    for _ in range(3):
        set_clock.forward(2)
        drain(site)
    assert (rows_of(site, 0), rows_of(site, 1)) == ([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])
    assert double.pieces == [2, 1, 2]
    with site.open() as portal:
        result = analyses(portal)[2].as_dict()["result"]
        assert (result["rows"], result["columns"][0]["mean"]) == (5, 6.0)
        assert [len(analyses(portal)[number].lines_of("out")) for number in (0, 1, 2)] == [1, 1, 0]


def test_what_comes_of_what_is_done_anew_is_done_anew(
    site: Site, recipe: str, send: Send, double: Double, set_clock: Clock
) -> None:
    chain(site, double)
    send(1, 2)
    drain(site)
    first = refresh(site)
    for number in (0, 1):
        with pytest.raises(DuplicateError, match="is being refreshed"):
            refresh(site, number)
    drain(site)
    assert first.state == "done"
    send(3)
    for _ in range(3):
        set_clock.forward(2)
        drain(site)
    assert rows_of(site, 1) == [2, 4, 6]
    assert sum(double.pieces) == 5


def test_what_is_run_on_the_whole_is_run_when_something_changed(
    site: Site, send: Send, set_clock: Clock
) -> None:
    parameters = '{"rate_hz": 1.0, "from_hz": 2.0}'
    site.transact(lambda p: make_transformation(p, TO_ROWS, ("vibration",), "rows"), ANN)
    site.transact(lambda p: make_transformation(p, ("resample", parameters), ("rows",), "slow"), ANN)
    send(*[1.0] * 100)
    set_clock.forward(2)
    drain(site)
    assert len(rows_of(site, 1)) == 50
    send(*[1.0] * 20)
    set_clock.forward(2)
    drain(site)
    assert len(rows_of(site, 1)) == 60
    with site.open() as portal:
        ran = analyses(portal)[1].course.ran
    sweep(site, set_clock)
    with site.open() as portal:
        assert analyses(portal)[1].course.ran == ran


def test_what_does_not_suit_yet_waits(site: Site, send: Send, set_clock: Clock) -> None:
    site.transact(lambda p: make_transformation(p, ("spectrum", "{}"), ("vibration",), "spectra"), ANN)
    send(1, 2)
    with site.open() as portal:
        told = analyses(portal)[0].as_dict()
        assert "This is no WAV" in told["waits"] and told["problem"] is None
        assert not analyses(portal)[0].is_behind()


def test_an_array_that_nobody_has_begun_is_waited_for(
    site: Site, recipe: str, double: Double, set_clock: Clock
) -> None:
    """It has no shape yet, which is no failure of who takes its rows."""
    site.transact(lambda p: make_transformation(p, ("double", "{}"), ("rows",), "doubled"), ANN)
    with site.open() as portal:
        stream: Any = portal.new("Data Stream")
        ingestion = portal.new("Data Ingestion")
        product = portal.root.named("Data Product", "vibration")[0].path
        line = portal.new("Data Ingestion Line", ingestion=ingestion.path, resource=product)
        line.link("aggregate", stream)
        SIMULATION.apply(ingestion, "start", "ann")
        portal.commit()
        drain(site)
        portal.abort()
        taker = next(one for one in analyses(portal) if one.linked("transformation") != [recipe])
        assert taker.as_dict()["waits"] == "The array has no rows" and not taker.course.problem
        stream.append(np.array([1.0, 2.0]).tobytes())
        portal.commit()
    for _ in range(2):
        set_clock.forward(2)
        drain(site)
    assert sorted(double.pieces) == [2]
