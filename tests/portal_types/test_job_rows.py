"""Jobs that make arrays: whatever the parts, the rows are those of the whole, and seen at once."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, Field

import haywain
from haywain.activity.kind import NoParameters
from haywain.activity.map_reduce import Part
from haywain.activity.map_reduce_job import MapReduceJob
from haywain.activity.row_map import RowMap
from haywain.analysis.rows import Layout, Rows
from haywain.document import Document
from haywain.errors import ForbiddenError, InvalidError, NotFoundError
from haywain.portal import Portal, Site
from haywain.portal_types.data_array import DataArray
from haywain.security import User
from haywain.store import extents

COUNT = 100_001
NUMBERS = "".join(f"{number}\n" for number in range(COUNT)).encode()


class Odd(RowMap):
    """The odd rows of an array, as many as there are in each part."""

    name, title, portal_types = "odd", "Pick the odd rows", ("Data Array",)

    def layout(self, source: Document, given: BaseModel) -> Layout:
        return Layout(np.dtype("<i8"), (), ("odd",))

    def rows(self, part: Part) -> Iterator[Rows]:
        found = part.source.read(part.start, part.stop)  # type: ignore[attr-defined]
        yield found[found % 2 == 1]


@pytest.fixture
def odd(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(site.registry.activities, "odd", Odd())


def new_array(portal: Portal, rows: Any, **properties: Any) -> DataArray:
    array = portal.new("Data Array", **properties)
    assert isinstance(array, DataArray)
    array.create((0, *rows.shape[1:]), rows.dtype)
    array.append(rows)
    return array


def new_csv(portal: Portal) -> Any:
    stream: Any = portal.new("Data Stream", reference="numbers.csv")
    stream.append(NUMBERS)
    return stream


@pytest.mark.parametrize("workers", [0, 3], ids=["one after the other", "three Workers"])
def test_csv_becomes_the_numbers_it_holds(tmp_path: Path, workers: int) -> None:
    with haywain.open(str(tmp_path / "var"), workers=workers) as portal:
        job = portal.map_reduce("stream_to_array", new_csv(portal), step=10_450)
        portal.commit()
        found = job.wait(120).result
        assert job.error is None and found["rows"] == COUNT
        np.testing.assert_array_equal(portal[found["array"]][:, 0], np.arange(COUNT))  # type: ignore[index]


@pytest.mark.parametrize(
    "count", [8, pytest.param(200, marks=[pytest.mark.campaign, pytest.mark.timeout(1800)])]
)
def test_it_does_so_in_random_steps(site: Site, count: int) -> None:
    steps = random.Random(7)
    with site.open() as portal:
        stream = new_csv(portal)
        for _ in range(count):
            step = round(10 ** steps.uniform(4, 6))
            job = portal.map_reduce("stream_to_array", stream, step=step)
            portal.commit()
            found = job.wait(60).result
            assert found is not None, (step, job.error)
            array: Any = portal[found["array"]]
            np.testing.assert_array_equal(array[:, 0], np.arange(COUNT), err_msg=f"step {step}")


def test_stream_that_grows_is_gone_on_with(site: Site) -> None:
    with site.open() as portal:
        stream = new_csv(portal)
        job = portal.map_reduce("stream_to_array", stream, step="100 KB")
        portal.commit()
        path = job.wait(60).result["array"]
        stream.append(b"5\n7\n")
        more = stream.activate().stream_to_array()
        portal.commit()
        assert more.wait(60).result == {"array": path, "rows": COUNT + 2, "appended": 2}
        assert portal[path][-3:, 0].tolist() == [COUNT - 1, 5, 7]  # type: ignore[index]


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize("step", [800, 4096, 1 << 20])
def test_blocks_are_filled_from_all_parts(site: Site, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(extents, "BLOCK_SIZE", 8192)
    values = np.random.default_rng(3).integers(0, 100, 9000)
    values[2000:4000] = 2  # parts without a row
    with site.open() as portal:
        target = new_array(portal, np.arange(3), reference="target")
        seen = target[:].copy()
        job = portal.map_reduce("odd", new_array(portal, values), target, step=step)
        portal.commit()
        np.testing.assert_array_equal(portal[target.path][:], seen)  # type: ignore[index]
        assert job.wait(120).result == {"array": target.path, "rows": int((values % 2).sum())}
        np.testing.assert_array_equal(target[:], values[values % 2 == 1])
        assert [column.name for column in target.columns] == ["odd"]
        left = portal[job.path].reduction  # type: ignore[attr-defined]
        assert not left.drafts and left.whole is None


@pytest.mark.usefixtures("odd")
def test_run_on_the_document_it_gathers_the_same_rows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Odd, "step_bytes", 800)
    with site.open() as portal:
        array = new_array(portal, np.arange(999), reference="n")
        job = array.activate().odd()
        portal.commit()
        made: Any = portal[job.wait(60).result["array"]]
        np.testing.assert_array_equal(made[:], np.arange(1, 999, 2))
        assert made.reference == "n odd"


@pytest.mark.usefixtures("odd")
def test_target_must_suit_and_be_mine(site: Site) -> None:
    with site.open() as portal:
        array, stream = new_array(portal, np.arange(4)), portal.new("Data Stream")
        with pytest.raises(InvalidError, match=r"^target: odd makes a Data Array; .* is a Data Stream"):
            portal.map_reduce("odd", array, stream)
        with pytest.raises(InvalidError, match=r"^target: statistics writes to no document"):
            portal.map_reduce("statistics", array, array)
        portal.commit()
        path = array.path
    user = User("wendy", frozenset({"Analyst"}), frozenset({"activity"}))
    with site.open(user) as portal, pytest.raises(ForbiddenError):
        portal.map_reduce("odd", portal[path], portal[path])


@pytest.mark.usefixtures("odd")
def test_target_that_is_deleted_fails_it(site: Site) -> None:
    with site.open() as portal:
        target = new_array(portal, np.arange(4))
        job = portal.map_reduce("odd", new_array(portal, np.arange(4)), target)
        portal.commit()
        portal.delete(target)
        portal.commit()
        assert job.wait(60).state == "failed"
        assert "There is nothing at" in str(job.error)
        with pytest.raises(NotFoundError):
            portal[target.path]


class Constant(RowMap):
    """As many rows as the source has, all of one number; in two columns, so that a mixture would show."""

    class _Parameters(NoParameters):
        number: int = Field(0, description="The number.")

    name, title, portal_types, parameters = "constant", "Fill", ("Data Array",), _Parameters

    def layout(self, source: Document, given: BaseModel) -> Layout:
        return Layout(np.dtype("<i8"), (2,))

    def rows(self, part: Part) -> Iterator[Rows]:
        yield np.full((part.stop - part.start, 2), part.parameters.number)  # type: ignore[attr-defined]


def test_reader_never_sees_a_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "BLOCK_SIZE", 16_384)
    with haywain.open(str(tmp_path / "var"), workers=2) as portal:
        monkeypatch.setitem(portal.site.registry.activities, "constant", Constant())
        target, source = new_array(portal, np.zeros((0, 2), "<i8")), new_array(portal, np.zeros(2000, "<i8"))
        portal.commit()
        stopping, seen, mixed = threading.Event(), list[int](), list[Any]()

        def poll(path: str) -> None:
            while not stopping.wait(0.005):
                with portal.site.open() as other:
                    rows: Any = other[path][:]  # type: ignore[index]
                    if len(rows) and (len(rows) != 2000 or rows.min() != rows.max()):
                        mixed.append(np.unique(rows))
                    seen.extend(rows[:1, 0].tolist())

        def begun(number: int) -> str:
            """Begin beside the Workers: where their transaction is first, ours is done again."""
            return portal.site.transact(
                lambda p: (
                    p.map_reduce(
                        "constant", p[source.path], p[target.path], step=8000, parameters={"number": number}
                    ).path
                )
            )[0]

        reader = threading.Thread(target=poll, args=(target.path,))
        reader.start()
        try:
            for number in range(50):
                job = MapReduceJob(portal, begun(number))
                assert job.wait(60).result["rows"] == 2000
        finally:
            stopping.set()
            reader.join()
        assert not mixed
        assert len(set(seen)) > 25
