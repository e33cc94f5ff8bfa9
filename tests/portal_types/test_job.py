"""Job: work done in parts comes to what it comes to in one piece."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import haywain
from haywain.activities.statistics import Statistics
from haywain.activity import memory, reduction
from haywain.activity.job_parts import JobParts
from haywain.activity.outbox import Outbox
from haywain.activity.sweeper import sweep
from haywain.errors import DuplicateError, ForbiddenError, InvalidError, NotFoundError, UnknownNameError
from haywain.portal import Portal, Site
from haywain.portal_types import job as module
from haywain.portal_types.job import NEIGHBOURS
from haywain.security import User

VALUES = np.random.default_rng(11).normal([0, 100], [1, 20], (5000, 2))


@pytest.fixture
def path(site: Site) -> str:
    def work(portal: Portal) -> str:
        array = portal.new("Data Array", reference="values")
        array.create((0, 2), "f8")  # type: ignore[attr-defined]
        array.append(VALUES)  # type: ignore[attr-defined]
        return str(array.path)

    return site.transact(work)[0]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put two parts together at a time, and plan four at a time."""
    for name, number in (("FAN", 2), ("GROUPS_AT_ONCE", 2)):
        for place in (reduction, module):
            monkeypatch.setattr(place, name, number)


@pytest.mark.parametrize("step", [4000, "8 KiB", "1 GiB"])
@pytest.mark.usefixtures("few")
def test_parts_come_to_what_the_whole_does(site: Site, path: str, step: str | int) -> None:
    with site.open() as portal:
        whole = portal[path].activate().statistics()
        job = portal.map_reduce("statistics", portal[path], step=step)
        portal.commit()
        assert job.wait(60).state == "done" and job.progress == 1.0
        found, expected = job.result, whole.wait(60).result
        assert found["rows"] == 5000
        for one, other in zip(found["columns"], expected["columns"], strict=True):
            assert one["histogram"] == other["histogram"] and one["quantiles"] == other["quantiles"]
            assert one["mean"] == pytest.approx(other["mean"], rel=1e-12)
            assert one["variance"] == pytest.approx(other["variance"], rel=1e-12)
        assert not portal[job.path].reduction.found  # type: ignore[attr-defined]


@pytest.mark.usefixtures("few")
def test_parts_of_the_same_bytes_are_near_each_other(site: Site, path: str) -> None:
    with site.open() as portal:
        for _ in range(2):
            portal.map_reduce("statistics", portal[path], step=4000)
            portal.commit()
        keys: dict[int, set[str]] = {}
        while not site.workers.run_next():
            portal.abort()
            for entry in Outbox.of(portal.root).ready_firsts():
                record = Outbox.of(portal.root).find(entry[2])
                if record is not None and record.method == "_map_part":
                    keys.setdefault(json.loads(record.parameters)["number"], set()).add(record.near)
        assert len(keys) > 2 * NEIGHBOURS
        assert all(found == {f"{path} {number // NEIGHBOURS}"} for number, found in keys.items())


@pytest.mark.usefixtures("few")
def test_workers_do_it_together(tmp_path: Path) -> None:
    with haywain.open(str(tmp_path / "var"), workers=3) as portal:
        array = portal.new("Data Array")
        array.create((0, 2), "f8")  # type: ignore[attr-defined]
        array.append(VALUES)  # type: ignore[attr-defined]
        job = portal.map_reduce("statistics", array, step=8000)
        portal.commit()
        assert job.wait(60).result["columns"][0]["count"] == 5000
        assert job.state == "done" and job.error is None


@pytest.mark.usefixtures("few")
def test_part_that_fails_fails_it_until_it_is_retried(
    site: Site, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Statistics.map

    def fails(self: Statistics, part: Any) -> Any:
        if part.start:
            raise InvalidError("row 17 is bad")
        return real(self, part)

    monkeypatch.setattr(Statistics, "map", fails)
    with site.open() as portal:
        job = portal.map_reduce("statistics", portal[path], step="40 KB")
        portal.commit()
        assert job.wait(60).state == "failed"
        assert job.error == "row 17 is bad" and job.result is None and job.progress < 0.5
        monkeypatch.setattr(Statistics, "map", real)
        job.retry()
        assert job.wait(60).state == "done" and job.progress == 1.0
        with pytest.raises(DuplicateError, match="No part"):
            job.retry()


def test_cancelled_job_runs_no_more(site: Site, path: str) -> None:
    with site.open() as portal:
        job = portal.map_reduce("statistics", portal[path], step="40 KB")
        portal.commit()
        assert job.state == "queued" and job.progress == 0.0
        job.cancel()
        assert job.wait(10).state == "cancelled" and job.result is None


def test_job_whose_archive_is_over_stays_cancelled(site: Site, path: str, set_clock: Any) -> None:
    with site.open() as portal:
        job = portal.map_reduce("statistics", portal[path])
        portal.commit()
        job.cancel()
        set_clock.forward(days=40)
        sweep(site.workers)
        with site.open() as later, pytest.raises(NotFoundError):
            later.job(later[job.path].reduction.last)  # type: ignore[attr-defined]
        assert job.wait(10).state == "cancelled"


def test_source_that_is_replaced_ends_it(site: Site, path: str) -> None:
    with site.open() as portal:
        job = portal.map_reduce("statistics", portal[path], step="40 KB")
        portal.commit()
        site.workers.run_next()
        portal.refresh()
        portal[path].create((0, 2), "f8")  # type: ignore[attr-defined]
        portal.commit()
        assert job.wait(60).state == "failed" and "was replaced" in str(job.error)


def test_what_makes_no_sense_is_refused_at_once(site: Site, path: str) -> None:
    with site.open() as portal:
        array, jobs = portal[path], portal.root.module("job_module").documents
        before = len(jobs)
        for step, error in (("a lot", "such as 64 MiB"), (-1, "such as 64 MiB"), ("2 GiB", "step_bytes")):
            with pytest.raises(InvalidError, match=error):
                portal.map_reduce("statistics", array, step=step)
        with pytest.raises(InvalidError, match="not done in parts"):
            portal.map_reduce("compact", array)
        with pytest.raises(UnknownNameError):
            portal.map_reduce("statistic", array)
        with pytest.raises(InvalidError, match="bins"):
            portal.map_reduce("statistics", array, parameters={"bins": 0})
        assert len(jobs) == before
        with pytest.raises(InvalidError, match="Commit first"):
            portal.map_reduce("statistics", array).wait(1)


def test_viewers_start_none(site: Site, path: str) -> None:
    with site.open(User("eve", frozenset({"Viewer"}))) as portal, pytest.raises(ForbiddenError):
        portal.map_reduce("statistics", portal[path])


def test_parts_whose_rows_are_as_they_were_are_not_done_again(
    site: Site, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = list[int]()
    real = Statistics.map

    def counted(self: Statistics, part: Any) -> Any:
        done.append(part.start)
        return real(self, part)

    monkeypatch.setattr(Statistics, "map", counted)

    def run(portal: Portal) -> Any:
        done.clear()
        job = portal.map_reduce("statistics", portal[path], step="16 KiB", parameters={"bins": 4})
        portal.commit()
        result = job.wait(60).result
        assert job.state == "done"
        reused = portal[job.path].reduction.reused()  # type: ignore[attr-defined]
        assert len(done) + reused == 10
        return result

    monkeypatch.setattr(memory, "MEMORY_SHARE", 0.01)
    monkeypatch.setattr(module, "MEMORY_SHARE", 0.01)
    with site.open() as portal:
        portal[path][:1] = VALUES[:1]  # type: ignore[index]  # rows of a small append lie together until then
        first = run(portal)
        assert len(done) == 10
        assert run(portal) == first and done == []
        portal[path][1500:1501] = [[0.5, 99.5]]  # type: ignore[index]
        other = run(portal)
        assert done == [1024, 1024] and other != first
        portal[path][4500:4501] = [[0.5, 1e6]]  # type: ignore[index]
        run(portal)  # the second pass rests on the extremes that the first has found
        assert done == [4096, 0, 1024, 2048, 3072, 4096]
        assert len(portal[path]) == 5000  # type: ignore[arg-type]


def test_part_logs_and_ends_where_it_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def endless(self: Statistics, part: Any) -> Any:
        part.log(f"rows {part.start} to {part.stop}")
        begun.set()
        while True:
            part.check()
            time.sleep(0.01)

    with haywain.open(str(tmp_path / "var"), workers=1) as portal:
        array = portal.new("Data Array")
        array.create((0, 2), "f8")  # type: ignore[attr-defined]
        array.append(VALUES)  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            patch.setattr(Statistics, "map", endless)
            job = portal.map_reduce("statistics", array)
            portal.commit()
            assert begun.wait(20) and job.state == "running"
            job.cancel()
            assert job.wait(20).state == "cancelled"

        def logging(self: Statistics, part: Any) -> Any:
            part.log(f"rows {part.start} to {part.stop}")
            return real(self, part)

        real = Statistics.map
        monkeypatch.setattr(Statistics, "map", logging)
        job = portal.map_reduce("statistics", array)
        portal.commit()
        job.wait(20)
        (part,) = JobParts(portal, portal[job.path]).page(0, 1)
        assert part.activity is not None and part.activity.log == ("rows 0 to 5000",)
