"""What a Pyramid has seen, what it looks at again, and what it never trusts."""

from typing import Any

import numpy as np
import pytest
from tests.store.brute_force import check
from tests.store.conftest import Begin
from tests.store.two import ROWS_PER_BLOCK, Two
from ZODB.POSException import ConflictError

from haywain.store import extents, pyramid
from haywain.store.array import Array
from haywain.store.database import Database
from haywain.store.detail import Detail, detail_of
from haywain.store.lanes import lanes_of
from haywain.store.layout import layout_of
from haywain.store.pyramid import Pyramid, rows_of

ROWS = 4 * ROWS_PER_BLOCK


class Pair:
    """Two connections to an array of 4 Blocks and its Pyramid."""

    def __init__(self, two: Two, database: Database) -> None:
        with database.transaction() as connection:
            connection.root()["pyramid"] = Pyramid()
        self.two, self.database = two, database
        for number in (0, 1):
            two.abort(number)

    def pyramid(self, number: int = 0) -> Pyramid:
        found = self.two.connection(number).root()["pyramid"]
        assert isinstance(found, Pyramid)
        return found

    def array(self, number: int = 0) -> Array:
        return self.two[number]

    def update(self, number: int = 0) -> int:
        """Bring it up to date; return how many rows were looked at."""
        step = self.pyramid(number).update(self.array(number))
        assert step.next is None
        self.two.commit(number)
        return step.rows

    def ask(self, number: int = 0, width: int = 20) -> Detail:
        """Ask for all rows, compare with them."""
        array = self.array(number)
        found = detail_of(
            array, self.pyramid(number), lanes_of(array.dtype, array.row), (0, array.rows), width
        )
        check(found.columns["0"], array.view(), found.edges)
        return found

    def stale(self, number: int = 0) -> list[tuple[int, int]]:
        return self.pyramid(number).stale(self.array(number), 0, self.array(number).rows)


@pytest.fixture
def pair(two: Two, database: Database, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """All rows are 1 to 2048, and the Pyramid, of buckets of 16, 64 and 256 rows, has seen them."""
    monkeypatch.setattr(pyramid, "BUCKET", 16)
    monkeypatch.setattr(pyramid, "FANOUT", 4)
    made = Pair(two, database)
    two[0].view()[:] = np.arange(1, ROWS + 1)
    two.commit(0)
    assert made.update() == ROWS
    two.abort(1)
    return made


def test_levels_have_whole_buckets_only(pair: Pair) -> None:
    pair.two[0].append(np.arange(100))
    pair.two.commit(0)
    pair.update()
    rows = ROWS + 100
    assert [level.rows for level in pair.pyramid().levels] == [rows // rows_of(level) for level in range(5)]
    assert [rows_of(level) for level in range(5)] == [16, 64, 256, 1024, 4096]
    pair.ask()


def test_nothing_new_costs_nothing(pair: Pair) -> None:
    before = pair.database.lastTransaction()
    assert pair.stale() == [] and pair.update() == 0
    assert pair.database.lastTransaction() == before


def test_appended_rows_cost_only_their_buckets(pair: Pair) -> None:
    for count in (5, 16, 40, 400):
        first = pair.array().append(np.arange(count))
        pair.two.commit(0)
        assert pair.stale() == [(first, first + count)]
        pair.ask()
        assert pair.update() <= count + 2 * 16
        assert pair.stale() == []
        pair.ask()


def test_a_tail_that_becomes_a_blob_is_all_that_is_read_again(pair: Pair) -> None:
    pair.array().append(np.arange(60))
    pair.two.commit(0)
    pair.update()
    pair.array().append(np.arange(2000))
    pair.two.commit(0)
    low, high = pair.stale()[0][0], pair.stale()[-1][1]
    assert low >= ROWS - 512 and high == ROWS + 2060
    pair.ask()


def test_rows_written_in_place_are_seen_at_once(pair: Pair) -> None:
    view = pair.array().view()
    view[100:103] = -1
    page = extents.PAGE // 8
    assert pair.stale() == [(0, page)]
    assert pair.ask().columns["0"].min[0] == -1
    pair.array().flush()
    assert pair.stale() == [(0, page)]
    pair.ask()
    pair.two.commit(0)
    assert pair.ask().columns["0"].min[0] == -1
    assert pair.update() == page and pair.stale() == []
    assert pair.ask().columns["0"].min[0] == -1


def test_what_is_aborted_was_never_seen(pair: Pair) -> None:
    pair.array().view()[100] = -1
    assert pair.pyramid().update(pair.array()).rows == extents.PAGE // 8
    assert pair.ask().columns["0"].min[0] == -1
    pair.two.abort(0)
    assert pair.stale() == [] and pair.ask().columns["0"].min[0] == 1


def test_a_rollback_takes_back_what_was_seen(pair: Pair) -> None:
    pair.array().write(0, memoryview(np.full(10, -1).tobytes()))
    savepoint = pair.two.manager(0).savepoint()
    pair.array().write(80, memoryview(np.full(10, -7).tobytes()))
    pair.pyramid().update(pair.array())
    assert pair.ask().columns["0"].min[0] == -7
    savepoint.rollback()
    assert pair.ask().columns["0"].min[0] == -1


def test_a_change_behind_a_savepoint_is_seen(pair: Pair) -> None:
    """Its objects have the serials of the last commit, and are not changed since the savepoint."""
    pair.array().write(0, memoryview(np.full(10, -1).tobytes()))
    pair.two.manager(0).savepoint()
    assert pair.ask().columns["0"].min[0] == -1


def test_a_write_after_an_undone_one_is_not_taken_for_it(pair: Pair) -> None:
    """Both leave the counts of changes at one and the same number."""
    pair.array().write(0, memoryview(np.full(10, -1).tobytes()))
    pair.two.commit(0)
    written = pair.database.undoInfo(0, 1)[0]["id"]
    pair.update()
    pair.database.undo(written, pair.two.manager(0).get())
    pair.two.commit(0)
    assert pair.ask().columns["0"].min[0] == 1
    pair.array().write(0, memoryview(np.full(10, -7).tobytes()))
    pair.two.commit(0)
    assert pair.ask().columns["0"].min[0] == -7


def test_zeros_behind_the_last_row_complete_its_bucket(pair: Pair) -> None:
    pair.array().append(np.full(5, -3))
    pair.two.commit(0)
    pair.update()
    pair.array().resize(2 * ROWS)
    pair.two.commit(0)
    assert pair.stale() == []
    pair.ask(width=100)
    assert pair.update() == 16
    assert [level.rows for level in pair.pyramid().levels] == [2 * ROWS // rows_of(n) for n in range(6)]
    pair.ask(width=100)


def test_a_tail_that_was_cut_off_does_not_come_back(pair: Pair) -> None:
    pair.array().append(np.arange(60))
    pair.two.commit(0)
    pair.update()
    for rows in (ROWS, ROWS + 60):
        pair.array().resize(rows)
        pair.two.commit(0)
        pair.ask(width=ROWS // 16)
    assert pair.ask().columns["0"].count.sum() == ROWS + 60 and pair.stale() == [(ROWS, ROWS + 60)]


def test_a_shrunk_and_grown_array_has_no_old_peak(pair: Pair) -> None:
    pair.array().resize(ROWS // 2 + 3)
    pair.two.commit(0)
    pair.ask()
    pair.array().resize(ROWS)
    pair.two.commit(0)
    assert pair.ask().columns["0"].max[-1] == 0
    pair.update()
    assert pair.ask().columns["0"].max[-1] == 0


def test_a_shrunk_array_has_no_old_buckets(pair: Pair) -> None:
    pair.array().resize(100)
    pair.two.commit(0)
    pair.update()
    assert [level.rows for level in pair.pyramid().levels] == [6, 1]
    assert sorted(pair.pyramid().seen) == [0]
    pair.ask(width=3)
    pair.array().resize(0)
    pair.two.commit(0)
    pair.update()
    assert not pair.pyramid().levels and not len(pair.pyramid().seen)
    assert len(pair.ask().edges) == 1


def test_a_compacted_block_need_not_be_seen_again(pair: Pair) -> None:
    for start in range(0, ROWS_PER_BLOCK, 600):
        pair.array().write(start * 8, memoryview(np.arange(3).tobytes()))
    pair.two.commit(0)
    for is_seen in (False, True):
        if is_seen:
            pair.update()
        before = layout_of(pair.array(), 0)
        pair.array().compact_block(0)
        pair.pyramid().keep(pair.array(), 0, before)
        assert layout_of(pair.array(), 0) != before
        assert (pair.stale() == []) is is_seen
        pair.ask()
        pair.two.abort(0)


def test_steps_leave_nothing_half_true(pair: Pair) -> None:
    pair.array().view()[:] = np.arange(ROWS)[::-1]
    pair.array().append(np.arange(3 * ROWS))
    pair.two.commit(0)
    following: int | None = 0
    looked_at = 0
    while following is not None:
        step = pair.pyramid().update(pair.array(), following, 1)
        looked_at, following = looked_at + step.rows, step.next
        pair.two.commit(0)
        pair.ask()
        pair.ask(width=3)
    assert pair.stale() == [] and looked_at <= 4 * ROWS + 16 * 16


def test_an_append_and_an_update_do_not_disturb_each_other(pair: Pair) -> None:
    pair.array(0).append(np.arange(50))
    pair.two.commit(0)
    pair.two.abort(1)
    pair.pyramid(1).update(pair.array(1))
    for count in (30, 3000):
        pair.array(0).append(np.arange(count))
        pair.array(0).view()[7] = count
        pair.two.commit(0)
    pair.two.commit(1)
    pair.two.abort(0)
    assert pair.stale(0)[0][0] == 0 and pair.stale(0)[-1][1] == ROWS + 3080
    pair.ask(0)


def test_of_two_updates_at_once_one_conflicts(pair: Pair) -> None:
    pair.array(0).append(np.arange(5000))
    pair.two.commit(0)
    pair.two.abort(1)
    for number in (0, 1):
        pair.pyramid(number).update(pair.array(number))
    pair.two.commit(0)
    with pytest.raises(ConflictError):
        pair.two.commit(1)
    pair.ask(1)


def test_rows_that_were_never_written_are_known_without_a_look(begin: Begin) -> None:
    """16 TiB of zeros with three numbers in them."""
    connection, manager = begin()
    array = connection.root()["array"] = Array(1 << 42, "<f4")
    connection.add(array)
    rows: Any = array.view(1 << 41, (1 << 41) + 10)
    rows[:3] = [5, -5, 1]
    manager.commit()
    manager.begin()
    found = detail_of(array, Pyramid(), lanes_of(array.dtype, ()), (1000, array.rows), 1000)
    summary = found.columns["0"]
    assert summary.max.max() == 5 and summary.min.min() == -5 and np.count_nonzero(summary.max) == 1
    assert summary.count.sum() == array.rows - 1000
    made = connection.root()["pyramid"] = Pyramid()
    connection.add(made)
    step = made.update(array)
    assert step.next is None and step.rows <= 2 * (1024 + 256)
    assert len(made.levels) == 9
    found = detail_of(array, made, lanes_of(array.dtype, ()), (1000, array.rows), 1000)
    assert np.array_equal(found.columns["0"].max, summary.max)
