"""Compacting stores fragmented Blocks anew and changes no number."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Clock
from tests.damage import flipped
from tests.elsewhere import put

from haywain import clock
from haywain.activity.care import Care, Caretaker
from haywain.activity.kind import Due
from haywain.activity.outbox import Outbox
from haywain.document import Document
from haywain.errors import CorruptDataError, TemporaryError
from haywain.portal import Portal, Site
from haywain.store import block, disk, extents, pagemap
from haywain.store.array import Array
from haywain.store.moment import time_of

pytestmark = pytest.mark.usefixtures("finding")

ROWS = 400_000


@pytest.fixture
def fragmented(site: Site) -> str:
    def begin(portal: Portal) -> str:
        array = portal.new("Data Array")
        array.create((ROWS,), "<f8")
        array[:] = np.arange(ROWS)
        return str(array.path)

    path = site.transact(begin)[0]
    for start in range(0, ROWS, ROWS // 20):
        site.transact(lambda portal, start=start: portal[path].__setitem__(slice(start, start + 10), -1))
    return path


def test_blocks_are_compact_and_read_the_same(
    run: Callable[..., Any], fragmented: str, reading: Callable[[str], Document]
) -> None:
    before = reading(fragmented)[:].copy()
    count = len(reading(fragmented).fragmented())
    assert run(fragmented, "compact") == {"compacted": count} and count
    array = reading(fragmented)
    assert not array.fragmented() and np.array_equal(array[:], before)
    array.verify()
    assert run(fragmented, "compact") == {"compacted": 0}


def test_array_that_is_not_created_has_nothing_to_compact(run: Callable[..., Any], site: Site) -> None:
    path = site.transact(lambda portal: str(portal.new("Data Array").path))[0]
    assert run(path, "compact") == {"compacted": 0}


PAGE_ROWS = extents.PAGE // 8


@pytest.fixture
def small(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """An array of four Blocks of 32 pages each, which are many when they are more than three."""
    monkeypatch.setattr(extents, "BLOCK_SIZE", 32 * extents.PAGE)
    monkeypatch.setattr(extents, "JOIN_GAP", extents.PAGE)
    monkeypatch.setattr(extents, "MANY_EXTENTS", 3)
    monkeypatch.setattr(block, "TAIL_SIZE", extents.PAGE)

    def make(portal: Portal) -> str:
        Care.of(portal.root).wanted.clear()  # what other tests left
        array: Any = portal.new("Data Array")
        array.create((4 * 32 * PAGE_ROWS,), "<i8")
        return str(array.path)

    return site.transact(make)[0]


def wants(site: Site) -> list[str]:
    with site.open() as portal:
        return Care.of(portal.root).paths("compact")


def care_for(site: Site) -> None:
    """Have the portal look after itself, and run what it queues."""
    Caretaker(site).look()
    while site.workers.run_next() == 0:
        pass


def due(site: Site) -> Due:
    with site.open() as portal:
        return site.registry.activities["compact"].due(portal, 0.0, clock.now_s())


def scatter(portal: Portal, path: str, block: int = 0) -> None:
    """Write a page here and there of a Block, through its view where there is one."""
    array: Any = portal[path]
    for page in range(0, 32, 8):
        put(array._created(), (32 * block + page) * PAGE_ROWS, 1)


def test_an_array_in_many_pieces_wants_to_be_compacted_once_it_is_committed(site: Site, small: str) -> None:
    with site.open() as portal:
        scatter(portal, small)
        portal.abort()
        assert wants(site) == []
        scatter(portal, small)
        assert wants(site) == []
        portal.commit()
    assert wants(site) == [small]


@pytest.mark.views
def test_pieces_made_through_a_view_that_is_kept_over_a_commit_count(site: Site, small: str) -> None:
    with site.open() as portal:
        view = portal[small][:]  # type: ignore[index]  # a Data Array
        portal.commit()
        portal.connection.cacheMinimize()
        for page in range(0, 32, 8):
            view[page * PAGE_ROWS] = 1
        portal.commit()
    assert wants(site) == [small]


def test_few_pieces_are_left_as_they_are(site: Site, small: str) -> None:
    site.transact(lambda p: p[small].__setitem__(slice(0, PAGE_ROWS * 100), 1))  # type: ignore[index]
    site.transact(lambda p: p[small].append(np.ones(40 * PAGE_ROWS)))  # type: ignore[attr-defined]
    assert wants(site) == [] and due(site).found == {}


@pytest.mark.parametrize("how", ["assigned", "appended"])
def test_assigned_and_appended_pieces_count(site: Site, small: str, how: str) -> None:
    for number in range(0, 32, 4):
        rows = np.arange(PAGE_ROWS * 3 // 2) if how == "appended" else [number]
        at = slice(number * PAGE_ROWS, number * PAGE_ROWS + 1)
        change = (lambda a, r=rows: a.append(r)) if how == "appended" else lambda a, i=at: a.__setitem__(i, 7)
        site.transact(lambda p, change=change: change(p[small]))
    assert wants(site) == [small]


def second_of(tid: str) -> float:
    return time_of(bytes.fromhex(tid)).timestamp()


def test_blocks_at_rest_are_compacted_by_the_portal_and_those_written_are_not(
    site: Site, small: str, set_clock: Clock
) -> None:
    first, second = (
        second_of(site.transact(lambda portal, n=n: scatter(portal, small, n))[1]) for n in (0, 2)
    )
    set_clock.now_s = first + 599
    assert due(site) == Due()  # it was written just now
    set_clock.now_s = (first + second) / 2 + 600
    assert due(site).found == {small: {"at_rest": True}}
    care_for(site)
    with site.open() as portal:
        array: Any = portal[small]
        assert [len(array._array.blocks[n].extents) for n in (0, 2)] == [1, 4]
        assert np.flatnonzero(array[:]).tolist() == [n * PAGE_ROWS for n in (0, 8, 16, 24, 64, 72, 80, 88)]
    assert due(site) == Due() and wants(site) == [small]  # for the other Block
    set_clock.now_s = second + 601
    assert due(site).found == {small: {"at_rest": True}}


@pytest.mark.storages("file")
def test_a_damaged_block_stays_as_it_is_and_is_not_tried_again_and_again(
    site: Site, small: str, set_clock: Clock
) -> None:
    site.transact(lambda p: p[small].__setitem__(slice(None), np.arange(4 * 32 * PAGE_ROWS)))  # type: ignore[index]
    site.transact(lambda portal: scatter(portal, small))
    with site.open() as portal:
        array: Any = portal[small]
        _, chunk, position, _ = array._array.blocks[0].extents[1]
        blob = Path(chunk.blob.committed())
    with flipped(blob, 8 * (position + 9)):
        for _ in range(6):
            set_clock.now_s += 700
            care_for(site)
        with site.open() as portal:
            array = portal[small]
            found = [one for shard in Outbox.of(portal.root).shards for one in shard.activities.values()]
            (record,) = [one for one in found if one.path == small]
            assert record.state == "failed" and "holds the rows" in record.error
            with pytest.raises(CorruptDataError, match="holds the rows"):
                array.verify()
    site.transact(lambda portal: scatter(portal, small, 1))  # it changes
    set_clock.now_s += 700
    care_for(site)
    with site.open() as portal:
        array = portal[small]
        array.verify()
        assert [len(array._array.blocks[n].extents) for n in (0, 1)] == [1, 1]


def test_an_almost_full_disk_is_left_alone(
    site: Site,
    small: str,
    run: Callable[..., Any],
    set_clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in (0, 2):
        site.transact(lambda portal, n=number: scatter(portal, small, n))
    set_clock.now_s += 700
    total, log = 20 * 1000 * extents.BLOCK_SIZE, list[str]()
    left = iter([total // 20 + extents.BLOCK_SIZE])  # what must stay free, and one Block
    with monkeypatch.context() as patch:
        patch.setattr(disk, "free_bytes", lambda path: (next(left, total // 20), total))
        assert run(small, "compact", at_rest=True, log=log) == {"compacted": 1}
        assert "almost full" in log[0] and "left for later: 1" in log[0]
        before = site.database.lastTransaction()
        Caretaker(site).look()
        assert site.database.lastTransaction() == before and wants(site) == [small]
        assert "almost full" in caplog.text and "arrays that wait for it: 1" in caplog.text
        with pytest.raises(TemporaryError, match="almost full"):
            run(small, "compact")
    assert due(site).found == {small: {"at_rest": True}}
    assert run(small, "compact", at_rest=True) == {"compacted": 1}


def test_compacting_is_no_change_of_rows(site: Site, small: str, set_clock: Clock) -> None:
    site.transact(lambda portal: scatter(portal, small))
    changed = set_clock.now_s
    set_clock.now_s += 700
    care_for(site)
    with site.open() as portal:
        assert len(portal[small]._array.blocks[0].extents) == 1  # type: ignore[attr-defined]  # a Data Array
        assert portal[small].modified == changed
    site.transact(lambda portal: scatter(portal, small))
    with site.open() as portal:
        assert portal[small].modified == set_clock.now_s


def test_rows_that_were_filled_elsewhere_are_looked_at(site: Site, small: str) -> None:
    def adopt(portal: Portal) -> None:
        array, rows = portal[small], Array((0,), "<i8")
        portal.connection.add(rows)
        for _ in range(8):
            rows.append(np.arange(PAGE_ROWS * 3 // 2))
        array.adopt(rows)  # type: ignore[attr-defined]  # a Data Array

    site.transact(adopt)
    assert wants(site) == [small]


def test_an_array_without_pieces_is_forgotten(site: Site, small: str, run: Callable[..., Any]) -> None:
    site.transact(lambda portal: scatter(portal, small))
    assert run(small, "compact", at_rest=True) == {"compacted": 0}
    assert run(small, "compact") == {"compacted": 1}
    assert due(site) == Due(settled=[small])
    Caretaker(site).look()
    assert wants(site) == []


@pytest.mark.parametrize("behind", ["due", "is_settled"])
def test_pieces_made_while_an_array_is_forgotten_are_remembered(
    site: Site, small: str, monkeypatch: pytest.MonkeyPatch, behind: str
) -> None:
    """Behind the look, and behind that of the transaction that forgets it."""
    kind = site.registry.activities["compact"]
    method, answers = getattr(type(kind), behind), list[object]()

    def answer(*asked: object) -> object:
        answers.append(method(kind, *asked))
        if len(answers) == 1:
            site.transact(lambda portal: scatter(portal, small))
        return answers[-1]

    site.transact(lambda portal: Care.of(portal.root).want("compact", small))
    monkeypatch.setattr(kind, behind, answer)
    Caretaker(site).look()
    assert answers == ([Due(settled=[small])] if behind == "due" else [True, False])
    assert wants(site) == [small]


class Writers:
    """One appends, two assign in place, one of these through views; each knows what it was acknowledged."""

    def __init__(self, site: Site, path: str) -> None:
        self.site, self.path = site, path
        self.fixed, self.appended = np.zeros(4 * 32 * PAGE_ROWS, "i8"), [np.zeros(0, "i8")]
        self.failed: list[BaseException] = []
        self.is_half = threading.Event()  # they go on when something was compacted
        works = (self.append, lambda: self.assign(0, False), lambda: self.assign(1, True))
        self.threads = [threading.Thread(target=self.watched, args=(work,)) for work in works]
        for thread in self.threads:
            thread.start()

    @property
    def are_busy(self) -> bool:
        return any(thread.is_alive() for thread in self.threads)

    def watched(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # the test tells
            self.failed.append(error)

    def keep(self, work: Callable[[Portal], object]) -> None:
        while True:
            try:
                self.site.transact(work)
                return
            except TemporaryError:  # after many conflicts it says: come again
                continue

    def append(self) -> None:
        for number, length in enumerate(np.random.default_rng(5).integers(1, 3 * PAGE_ROWS, 20)):
            assert number != 10 or self.is_half.wait(30)
            rows = np.arange(length) + length
            self.keep(lambda portal, rows=rows: portal[self.path].append(rows))
            self.appended.append(rows)

    def assign(self, odd: int, by_view: bool) -> None:
        random = np.random.default_rng(odd)
        for number in range(1, 16):
            assert number != 8 or self.is_half.wait(30)
            rows = random.choice(len(self.fixed) // 2, 40, replace=False) * 2 + odd

            def change(portal: Portal, rows: Any = rows, number: int = number) -> None:
                array: Any = portal[self.path]
                (array[:] if by_view and pagemap.METHOD != "none" else array)[rows] = number

            self.keep(change)
            self.fixed[rows] = number


def compact(site: Site, path: str) -> int:
    """Have a Worker do it; return how many Blocks were stored anew."""
    id, _ = site.transact(lambda portal: portal[path].activate().compact().id)
    with site.open() as portal:
        job = portal.job(id)
        while job.state in ("queued", "running"):  # after many conflicts it is given back for a while
            site.workers.run_next()
            portal.abort()
        assert job.state == "done", job.error
        return int(job.result["compacted"])


def test_nothing_is_lost_beside_writers(site: Site, small: str) -> None:
    writers = Writers(site, small)
    compacted = 0
    while writers.are_busy:
        compacted += compact(site, small)
        if compacted:
            writers.is_half.set()
    assert not writers.failed and compacted
    expected = np.concatenate([writers.fixed, *writers.appended])
    for _ in range(2):
        with site.open() as portal:
            array: Any = portal[small]
            array.verify()
            assert np.array_equal(array[:], expected)
        compact(site, small)
    with site.open() as portal:
        assert not portal[small].fragmented()  # type: ignore[attr-defined]  # a Data Array
