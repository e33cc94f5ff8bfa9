"""Transient rows: handed on in the transaction that makes them, to each once, and never stored."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.activity.conftest import drain
from tests.conftest import Clock
from tests.portal_types.analyses.conftest import (
    ANN,
    SIMULATION,
    TO_ROWS,
    analyses,
    make_transformation,
    rows_of,
    sweep,
)
from tests.portal_types.analyses.test_analysis_run import Double, refresh

from haywain.activities.stream_to_array import StreamToArray
from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.portal_types.data_array import DataArray

Send = Callable[..., None]


@pytest.fixture
def double(site: Site, monkeypatch: pytest.MonkeyPatch) -> Double:
    """A kind that goes on row by row, known to the site; steps are small."""
    monkeypatch.setattr(StreamToArray, "step_bytes", 16)
    kind = Double()
    kind.pieces = []
    site.registry.activities["double"] = kind
    return kind


@pytest.fixture
def handed_on(site: Site, double: Double) -> None:
    """Recipes: bytes become rows that are not stored, and twice as much of them is."""
    site.transact(lambda p: make_transformation(p, TO_ROWS, ("vibration",), "rows", use="transient"), ANN)
    site.transact(lambda p: make_transformation(p, ("double", "{}"), ("rows",), "doubled"), ANN)


@pytest.mark.usefixtures("handed_on")
def test_rows_are_handed_on_and_only_what_comes_of_them_is_stored(site: Site, send: Send) -> None:
    send(1, 2, 3)
    send(4, 5)
    assert rows_of(site, 1) == [2, 4, 6, 8, 10]
    with site.open() as portal:
        giver, taker = analyses(portal)
        assert giver.outputs() == [] and giver.hands_on and not giver.is_behind()
        assert len(portal.root["data_array_module"].documents) == 1
        assert giver.inputs()[0].indicator.position.rows == 5
        assert taker.as_dict()["result"]["rows"] == 5


@pytest.mark.usefixtures("handed_on")
def test_a_step_that_fails_gives_nobody_a_row_twice(
    site: Site, send: Send, set_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(1)
    append, count = DataArray.append, 0

    def failing(self: DataArray, rows: object) -> int:
        nonlocal count
        found, count = append(self, rows), count + 1  # type: ignore[arg-type]
        if count % 3 == 0:
            raise MemoryError
        return found

    monkeypatch.setattr(DataArray, "append", failing)
    send(*range(2, 12))
    for _ in range(12):
        set_clock.forward(60)
        drain(site)
    assert rows_of(site, 1) == [2 * number for number in range(1, 12)]


def test_who_comes_later_or_was_stopped_gets_all(site: Site, send: Send, double: Double) -> None:
    site.transact(lambda p: make_transformation(p, TO_ROWS, ("vibration",), "rows", use="transient"), ANN)
    send(1, 2, 3)
    site.transact(lambda p: make_transformation(p, ("double", "{}"), ("rows",), "doubled"), ANN)
    send(4)
    assert rows_of(site, 1) == [2, 4, 6, 8]
    site.transact(lambda p: SIMULATION.apply(analyses(p)[1], "stop", "ann"))
    send(5, 6)
    assert rows_of(site, 1) == [2, 4, 6, 8]
    site.transact(lambda p: SIMULATION.apply(analyses(p)[1], "start", "ann"))
    send()
    assert rows_of(site, 1) == [2, 4, 6, 8, 10, 12]


@pytest.mark.usefixtures("handed_on")
def test_a_refresh_of_who_takes_is_one_of_who_gives(site: Site, send: Send, set_clock: Clock) -> None:
    send(1, 2, 3)
    job = refresh(site, 1)
    drain(site)
    assert job.state == "done" and job.as_dict()["result"]["rows"] == 3
    send(4)
    sweep(site, set_clock)
    assert rows_of(site, 1) == [2, 4, 6, 8]


def test_only_what_goes_on_can_be_transient(site: Site) -> None:
    work = ("resample", '{"rate_hz": 1.0}')
    with site.open() as portal, pytest.raises(InvalidError, match="can be transient"):
        make_transformation(portal, work, ("rows",), "slow", use="transient")


@pytest.mark.usefixtures("handed_on")
def test_rows_are_handed_on_and_on(site: Site, send: Send) -> None:
    """Bytes become rows, these twice as much, these again: only the last is stored, and what another made."""

    def more(portal: Portal) -> None:
        make_transformation(portal, ("double", "{}"), ("rows",), "twofold", use="transient")
        make_transformation(portal, ("double", "{}"), ("twofold",), "fourfold")

    site.transact(more, ANN)
    send(1, 2, 3)
    for _ in range(3):
        send(4)
    with site.open() as portal:
        arrays: Any = portal.root["data_array_module"].documents.values()
        assert {one.reference.rpartition(" ")[2]: one[:].tolist() for one in arrays} == {
            "doubled": [2, 4, 6, 8, 8, 8],
            "fourfold": [4, 8, 12, 16, 16, 16],
        }
