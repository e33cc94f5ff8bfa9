"""Data Analysis: what comes in is consumed once, on commit, whatever happens between."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from tests.activity.conftest import drain
from tests.conftest import Clock
from tests.portal_types.analyses.conftest import ANN, SIMULATION, VALIDATION, analyses, rows_of, sweep
from ZODB.POSException import ConflictError

from haywain.activities.stream_to_array import StreamToArray
from haywain.activity import afterwards
from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.portal_types._matching import make_analysis, missing
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.data_transformation import DataTransformation
from haywain.workflow import WORKFLOWS

Send = Callable[..., None]


def test_what_comes_in_becomes_rows_on_commit(site: Site, recipe: str, send: Send) -> None:
    send(1, 2)
    assert rows_of(site) == [1, 2]
    send(3)
    assert rows_of(site) == [1, 2, 3]
    with site.open() as portal:
        [analysis] = analyses(portal)
        [source], [array] = analysis.inputs(), analysis.outputs()
        assert analysis.state == "started" and not analysis.is_behind()
        assert (source.indicator.position.offset, source.indicator.position.rows) == (24, 3)
        assert (analysis.owner, array.owner) == ("ann", "ann")
        assert array.linked("source") == [source.document.path]
        assert analysis.as_dict()["result"] == {"array": array.path, "rows": 3, "appended": 1}


def test_what_was_there_before_the_recipe_is_consumed_too(site: Site, send: Send, request: Any) -> None:
    send(1, 2)
    request.getfixturevalue("recipe")
    drain(site)
    assert rows_of(site) == [1, 2]


def test_a_thousand_appends_wait_for_one_run(site: Site, recipe: str, send: Send) -> None:
    send(0)
    for number in range(1, 30):
        send(number, is_run=False)
    with site.open() as portal:
        found = [r for shard in portal.root.tools["outbox"].shards for r in shard.activities.values()]
        assert [r.method for r in found if r.place[0] not in ("done", "cancelled")] == ["analyze"]


def test_a_step_that_dies_is_repeated_and_counts_nothing_twice(
    site: Site, recipe: str, send: Send, set_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fourth attempt to write rows fails behind the write, as a conflict or as a crash."""
    monkeypatch.setattr(StreamToArray, "step_bytes", 16)
    count, append = 0, DataArray.append

    def failing(self: DataArray, rows: Any) -> int:
        nonlocal count
        found, count = append(self, rows), count + 1
        if count % 4 == 3:
            raise ConflictError if count % 8 == 3 else MemoryError
        return found

    monkeypatch.setattr(DataArray, "append", failing)
    send(*range(20))
    for _ in range(3):
        send(*range(20))
    for _ in range(10):
        set_clock.forward(60)
        drain(site)
    with site.open() as portal:
        [analysis] = analyses(portal)
        assert analysis.inputs()[0].indicator.position.rows == 80
    assert rows_of(site) == list(range(20)) * 4


def test_bytes_that_are_no_whole_row_wait(site: Site, recipe: str, send: Send, set_clock: Clock) -> None:
    send(1)
    with site.open() as portal:
        [analysis] = analyses(portal)
        stream: Any = analysis.inputs()[0].document
        stream.append(b"1234")
        portal.commit()
    set_clock.forward(2)
    drain(site)
    with site.open() as portal:
        [analysis] = analyses(portal)
        assert not analysis.is_behind()
        portal[stream.path].append(bytes(4))  # type: ignore[attr-defined]
        portal.commit()
    set_clock.forward(2)
    drain(site)
    assert len(rows_of(site)) == 2


def test_one_that_fails_says_why_and_is_tried_again_later(
    site: Site, recipe: str, send: Send, set_clock: Clock
) -> None:
    send(1)
    with site.open() as portal:
        portal.delete(analyses(portal)[0].outputs()[0])
        portal.commit()
    send(2)
    with site.open() as portal:
        [analysis] = analyses(portal)
        assert "There is nothing at" in analysis.as_dict()["problem"]
        assert analysis.as_dict()["last_activity"]["state"] == "queued"
    for failures in (1, 2):
        send(3)
        with site.open() as portal:
            [analysis] = analyses(portal)
            assert analysis.course.failures == failures
        set_clock.forward(60 * failures)
        drain(site)
    with site.open() as portal:
        states = [r.state for shard in portal.root.tools["outbox"].shards for r in shard.activities.values()]
        assert states.count("failed") == 1


def test_one_that_is_stopped_runs_no_more_until_it_is_started(
    site: Site, recipe: str, send: Send, set_clock: Clock
) -> None:
    send(1)
    site.transact(lambda p: SIMULATION.apply(analyses(p)[0], "stop", "ann"))
    send(2)
    assert rows_of(site) == [1]
    with site.open() as portal:
        with pytest.raises(InvalidError, match="start it first"):
            analyses(portal)[0].run_now()
        SIMULATION.apply(analyses(portal)[0], "start", "ann")
        portal.commit()
    set_clock.forward(2)
    drain(site)
    assert rows_of(site) == [1, 2]


def test_one_whose_recipe_is_invalidated_waits_for_it(
    site: Site, recipe: str, send: Send, set_clock: Clock
) -> None:
    send(1)
    site.transact(lambda p: VALIDATION.apply(p[recipe], "invalidate", "ann"))
    send(2)
    send(1, tag="turbine-8.vibration")
    assert rows_of(site) == [1]
    site.transact(lambda p: VALIDATION.apply(p[recipe], "validate", "ann"), ANN)
    set_clock.forward(2)
    drain(site)
    assert (rows_of(site), rows_of(site, 1)) == ([1, 2], [1])


def test_it_runs_with_the_rights_that_its_owner_has_then(site: Site, recipe: str, send: Send) -> None:
    send(1)
    ann = "person_module/ann"
    site.transact(lambda p: WORKFLOWS["account"].apply(p[ann], "invalidate", "admin"))
    send(2)
    assert rows_of(site) == [1]
    with site.open() as portal:
        assert "'ann', who asked for it, is locked" in analyses(portal)[0].course.problem
    site.transact(lambda p: WORKFLOWS["account"].apply(p[ann], "validate", "admin"))
    send(3)
    assert rows_of(site) == [1, 2, 3]


def test_what_it_does_stays_as_it_is(site: Site, recipe: str, send: Send) -> None:
    """It runs with the rights of another."""
    send(1)
    with site.open() as portal:
        [analysis] = analyses(portal)
        [line] = analysis.lines_of("in")
        analysis.edit(title="Rows")
        with pytest.raises(InvalidError, match="stays as it is"):
            analysis.edit(transformation="")
        with pytest.raises(InvalidError, match="stays as it is"):
            line.edit(document=analysis.outputs()[0].path)


def test_two_processes_at_once_make_one(site: Site, recipe: str, send: Send) -> None:
    send(1, is_run=False)
    with site.open() as one, site.open() as other:
        for portal in (one, other):
            transformation = cast(DataTransformation, portal[recipe])
            for match in missing(portal, transformation):
                make_analysis(portal, transformation, match)
        one.commit()
        with pytest.raises(ConflictError):
            other.commit()
    drain(site)
    with site.open() as portal:
        assert len(analyses(portal)) == 1
    assert rows_of(site) == [1]


def test_what_is_missed_is_found_by_the_sweep(
    site: Site, recipe: str, send: Send, set_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process dies right behind its commit, before it has anybody told."""
    send(1)
    with monkeypatch.context() as dying:
        dying.setattr(afterwards, "_do", lambda *_: None)
        send(2)
        send(5, tag="turbine-8.vibration")
    assert rows_of(site) == [1]
    sweep(site, set_clock)
    assert (rows_of(site), rows_of(site, 1)) == ([1, 2], [5])


def test_a_sweep_that_finds_nothing_writes_nothing(
    site: Site, recipe: str, send: Send, set_clock: Clock
) -> None:
    send(1)
    sweep(site, set_clock)
    with site.open() as portal:
        before = portal.connection._storage.lastTransaction()
    sweep(site, set_clock)
    with site.open() as portal:
        assert portal.connection._storage.lastTransaction() == before


def test_a_run_that_waits_already_is_not_taken_for_a_later_one(
    site: Site, recipe: str, send: Send, set_clock: Clock
) -> None:
    """Else who appends between the two would ask for none, and nobody would look at it."""
    send(1)
    set_clock.forward(5)
    send(2, is_run=False)

    def run_beside(portal: Portal) -> str:
        analyses(portal)[0].course.ran = set_clock.now_s + 10
        return str(analyses(portal)[0].path)

    path, _ = site.transact(run_beside)
    send(3, is_run=False)
    assert site.asked[path] == 0
    drain(site)
    assert rows_of(site) == [1, 2, 3]
