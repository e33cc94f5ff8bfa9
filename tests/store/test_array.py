"""Array: views in transactions, what conflicts and what does not, what is stored and what is refused."""

import gc
import os
import weakref

import numpy as np
import pytest
from tests.elsewhere import put
from tests.storages import Storage
from tests.store.array_machine import mapping_of
from tests.store.conftest import Begin
from tests.store.two import PAGE, ROWS_PER_BLOCK, Two
from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError

from haywain.errors import InvalidError
from haywain.store import extents, pagemap
from haywain.store.array import Array, StaleViewError
from haywain.store.database import Database
from haywain.store.upkeep import fragmented, verify

pytestmark = [pytest.mark.usefixtures("small_blocks", "finding"), pytest.mark.storages(each_run=True)]
views = pytest.mark.views


# -- views
@views
def test_what_is_written_to_a_view_is_committed(two: Two) -> None:
    view = two[0].view()
    view[5], view[-1] = 7, 8
    two.commit(0)
    two.abort(1)
    other = two[1].view()
    assert (other[5], other[-1], other.sum()) == (7, 8, 15)


@views
def test_what_was_written_is_committed_also_when_no_view_is_left(two: Two) -> None:
    two[0].view()[3] = 7
    two.commit(0)
    two.abort(1)
    assert two[1].view()[3] == 7


@views
def test_a_view_shows_the_snapshot_that_it_was_taken_from(two: Two) -> None:
    view = two[0].view()
    two[1].view()[3] = 7
    two.commit(1)
    assert view[3] == 0
    two.abort(0)
    assert view[3] == 0 and two[0].view()[3] == 7


@views
def test_a_write_to_an_older_view_is_refused(two: Two) -> None:
    view = two[0].view()
    two[1].view()[3] = 7
    two.commit(1)
    two.abort(0)
    view[3] = 8
    with pytest.raises(StaleViewError, match="changed since this view"):
        two.commit(0)
    assert view[3] == 0 and two[0].view()[3] == 7
    view[3] = 9
    with pytest.raises(StaleViewError, match="older than"):
        two.commit(0)


def test_a_stale_view_is_a_conflict_that_can_be_tried_again() -> None:
    assert issubclass(StaleViewError, ConflictError) and issubclass(StaleViewError, TransientError)


@views
def test_a_write_behind_the_end_is_refused(two: Two) -> None:
    view = two[0].view()
    two[0].resize(10)
    two.commit(0)
    view[12] = 1
    with pytest.raises(StaleViewError, match="behind the last row"):
        two.commit(0)


@views
def test_an_abort_shows_what_was_there(two: Two) -> None:
    two[0].view()[:] = 3
    two.commit(0)
    view = two[0].view()
    view[::100] = 4
    two[0].flush()
    view[7] = 5
    two.abort(0)
    assert (view == 3).all()


@views
def test_a_rollback_goes_back_to_the_savepoint_before_anything_was_stored(two: Two) -> None:
    view = two[0].view()
    savepoint = two.manager(0).savepoint()
    view[0] = 1
    later = two.manager(0).savepoint()
    view[1] = 2
    later.rollback()
    assert list(view[:2]) == [1, 0]
    savepoint.rollback()
    assert not view.any()
    view[2] = 3
    two.commit(0)
    two.abort(1)
    assert list(two[1].view()[:4]) == [0, 0, 3, 0]


@views
def test_a_rollback_to_before_the_first_view_leaves_views_watched(two: Two) -> None:
    """The transaction would let go of what joined after the savepoint."""
    before = two.manager(0).savepoint()
    view = two[0].view()
    view[5] = 9
    before.rollback()
    assert view[5] == 0
    view[0] = 1
    then = two.manager(0).savepoint()
    view[0] = 2
    then.rollback()
    assert view[0] == 1
    before.rollback()
    view[3] = 4
    two.commit(0)
    two.abort(1)
    assert two[1].view()[:6].tolist() == [0, 0, 0, 4, 0, 0]


@views
def test_memory_goes_one_transaction_after_its_last_view(two: Two) -> None:
    """At once, without the garbage collector: views are gigabytes."""
    gc.disable()
    try:
        view = two[0].view()
        mapping = weakref.ref(mapping_of(view))
        del view
        assert mapping() is not None
        two.abort(0)
        assert mapping() is None
        view = two[0].view()
        mapping = weakref.ref(mapping_of(view))
        two.abort(0)
        del view
        two.commit(0)
        assert mapping() is None
    finally:
        gc.enable()


@views
def test_a_view_outlives_connection_and_database(two: Two, database: Database) -> None:
    two[0].append(np.arange(5000))
    two.commit(0)
    view = two[0].view()
    two.manager(0).abort()
    two.connection(0).close()
    database.close()
    view[-1] += 1
    assert view[-1] == 5000 and view[-2] == 4998


@views
def test_a_pooled_connection_sees_its_arrays_anew(two: Two, database: Database) -> None:
    view = two[0].view()
    two.manager(0).abort()
    two.connection(0).close()
    view[1] = 1  # private memory
    with database.transaction() as connection:
        connection.root()["array"].view()[0] = 2
    with database.transaction() as connection:
        assert list(connection.root()["array"].view()[:2]) == [2, 0]


def test_a_transaction_that_only_reads_writes_nothing(two: Two, database: Database) -> None:
    before = database.lastTransaction()
    view = two[0].view()
    assert view.sum() == 0
    two.commit(0)
    two.commit(0)
    assert database.lastTransaction() == before


@views
def test_after_a_fork_the_connection_is_refused(two: Two) -> None:
    view = two[0].view()
    child = os.fork()
    if not child:
        try:
            two[0].view()
        except InvalidError:
            os._exit(int(view.sum()))
        os._exit(9)
    assert os.waitpid(child, 0)[1] == 0


@views
def test_flush_makes_written_pages_those_of_a_file(two: Two) -> None:
    view = two[0].view()
    view[:] = 5
    assert two[0].flush() and not two[0].flush()
    assert (view == 5).all()
    two.abort(0)
    assert not view.any() and not two[0].view().any()


@views
def test_a_view_that_may_not_be_written_cannot_be(two: Two) -> None:
    with pytest.raises(ValueError, match="read-only"):
        two[0].view(writable=False)[0] = 1


# -- who conflicts with whom
def test_writers_of_different_blocks_do_not_conflict(two: Two) -> None:
    put(two[0], 0, 1)
    put(two[1], ROWS_PER_BLOCK, 2)
    two.commit(0)
    two.commit(1)
    assert list(two[1].view()[[0, ROWS_PER_BLOCK]]) == [1, 2]


@pytest.mark.parametrize("at", [1, ROWS_PER_BLOCK - 1])
def test_writers_of_one_block_conflict(two: Two, at: int) -> None:
    put(two[0], 0, 1)
    put(two[1], at, 2)
    two.commit(0)
    with pytest.raises(ConflictError):
        two.commit(1)


def test_an_append_and_a_write_do_not_conflict(two: Two) -> None:
    put(two[0], 0, 1)
    assert two[1].append([7]) == 4 * ROWS_PER_BLOCK
    two.commit(0)
    two.commit(1)
    assert (two[1].view()[0], two[1].view()[-1]) == (1, 7)


@pytest.mark.parametrize("count", [1, 5000])
def test_appends_conflict(two: Two, count: int) -> None:
    two[0].append(np.ones(count, "i8"))
    two[1].append(np.ones(count, "i8"))
    two.commit(0)
    with pytest.raises(ConflictError):
        two.commit(1)
    assert two[1].rows == 4 * ROWS_PER_BLOCK + count


@pytest.mark.parametrize("first", [0, 1], ids=["cut first", "write first"])
@pytest.mark.parametrize("is_filled", [False, True])
def test_no_write_slips_behind_a_cut(two: Two, first: int, is_filled: bool) -> None:
    """Not into a hole of the last block either, nor into blocks that nobody had."""
    if is_filled:
        put(two[0], np.s_[: ROWS_PER_BLOCK + 9], 1)
        two.commit(0)
        two.abort(1)
    two[0].resize(ROWS_PER_BLOCK + 10)
    put(two[1], [ROWS_PER_BLOCK + 600, 3 * ROWS_PER_BLOCK], 9)
    two.commit(first)
    with pytest.raises(ConflictError):
        two.commit(1 - first)
    two[0].resize(ROWS_PER_BLOCK + 10)
    two[0].resize(4 * ROWS_PER_BLOCK)
    assert not two[0].view()[ROWS_PER_BLOCK + 10 :].any()


def test_a_transaction_that_writes_and_cuts_conflicts_with_writes(two: Two) -> None:
    put(two[0], 3 * ROWS_PER_BLOCK, 9)
    put(two[1], 0, 1)
    two[1].resize(ROWS_PER_BLOCK)
    two.commit(0)
    with pytest.raises(ConflictError):
        two.commit(1)


# -- what is stored
def test_small_appends_of_one_transaction_share_a_record(two: Two) -> None:
    array, before = two[0], two[0].rows
    for number in (1, 2, 3):
        array.append([number])
    assert array.extent.tail_count == len(array.extent.tail) == 1
    assert list(array.view(before)) == [1, 2, 3]
    two.commit(0)
    array.append([4])
    assert array.extent.tail_count == len(array.extent.tail) == 2
    two.commit(0)
    two.abort(1)
    assert list(two[1].view(before)) == [1, 2, 3, 4]
    verify(two[1], 0, two[1].rows)


def test_a_rollback_takes_back_what_was_added_to_a_record(two: Two) -> None:
    array, before = two[0], two[0].rows
    array.append([1])
    savepoint = two.manager(0).savepoint()
    array.append([2])
    view = array.view(before)
    assert list(view) == [1, 2]
    savepoint.rollback()
    assert list(array.view(before)) == [1]
    array.append([3])
    two.commit(0)
    two.abort(1)
    assert list(two[1].view(before)) == list(array.view(before)) == [1, 3]
    verify(two[1], 0, two[1].rows)


def test_rows_behind_a_gap_have_a_record_of_their_own(two: Two) -> None:
    array, before = two[0], two[0].rows
    array.append([1])
    array.resize(before + 2)
    array.append([3])
    array.resize(before + 1)
    array.append([4])
    two.commit(0)
    two.abort(1)
    assert list(two[1].view(before)) == [1, 4]
    verify(two[1], 0, two[1].rows)


@pytest.mark.storages("file", "zeo-shared", "zeo-private", each_run=True)
def test_small_appends_make_no_blob_until_the_tail_is_full(two: Two, storage: Storage) -> None:
    array = two[0]
    for number in range(PAGE // 8 - 1):
        array.append([number])
    two.commit(0)
    assert not storage.blobs()
    array.append([PAGE // 8 - 1])
    two.commit(0)
    assert len(storage.blobs()) == 1 and not array.extent.tail_count
    assert list(array.view(4 * ROWS_PER_BLOCK)) == list(range(PAGE // 8))


@pytest.mark.parametrize("rows", [0, 1, 511, 512, 513, ROWS_PER_BLOCK, 3 * ROWS_PER_BLOCK + 5])
def test_rows_that_were_cut_come_back_as_zeros(two: Two, rows: int) -> None:
    put(two[0], np.s_[:], 1)
    two[0].append(np.ones(20, "i8"))
    two.commit(0)
    view = two[0].view()
    two[0].resize(rows)
    assert two[0].view().shape == (rows,)
    two[0].resize(4 * ROWS_PER_BLOCK)
    assert two[0].view()[:rows].all() and not two[0].view()[rows:].any()
    assert view[:rows].all() and (not view[rows:].any() or pagemap.METHOD == "none")  # it is a copy there
    two.commit(0)
    two.abort(1)
    assert two[1].view().sum() == rows


def test_an_array_of_zeros_takes_no_room(begin: Begin, storage: Storage) -> None:
    connection, manager = begin()
    before = (storage.folder / "Data.fs").stat().st_size
    array = connection.root()["array"] = Array((10**9, 100), "f8")
    connection.add(array)
    manager.commit()
    assert not storage.blobs() and (storage.folder / "Data.fs").stat().st_size < before + 10_000


def test_runs_that_lie_close_become_one_extent(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "JOIN_GAP", 3 * PAGE)
    put(two[0], [0, 2 * PAGE // 8], 1)
    two[0].flush()
    assert [e[::3] for e in two[0].blocks[0].extents] == [(0, 3 * PAGE)]


def test_extents_of_a_block_of_many_are_written_anew(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "most_extents", lambda size: 2)
    for page in (0, 2):
        put(two[0], page * PAGE // 8, page + 1)
        two[0].flush()
    assert len(two[0].blocks[0].extents) == 2
    put(two[0], PAGE // 8, 2)
    two.commit(0)
    assert len(two[0].blocks[0].extents) == 1
    assert list(two[0].view()[: 3 * PAGE // 8 : PAGE // 8]) == [1, 2, 3]
    verify(two[0], 0, two[0].rows)


def test_compacting_leaves_one_extent_a_block_and_the_views_as_they_are(two: Two) -> None:
    for page in (0, 2, 5):
        put(two[0], page * PAGE // 8, page + 1)
        two[0].flush()
    two.commit(0)
    view, before = two[0].view(), two[0].view().copy()
    before[1] = 7
    put(two[0], 1, 7)
    assert fragmented(two[0]) == [0]
    two[0].compact_block(0)
    assert fragmented(two[0]) == [] and np.array_equal(two[0].view(), before)
    assert np.array_equal(view, before) or pagemap.METHOD == "none"
    two.commit(0)
    two.abort(1)
    assert np.array_equal(two[1].view(), before)


def test_a_blob_of_which_little_is_used_is_found(two: Two) -> None:
    put(two[0], np.s_[:ROWS_PER_BLOCK], 1)
    two.commit(0)
    put(two[0], np.s_[: ROWS_PER_BLOCK * 3 // 4], 2)
    two.commit(0)
    put(two[0], np.s_[ROWS_PER_BLOCK * 3 // 4 : ROWS_PER_BLOCK - 1], 3)
    assert fragmented(two[0]) == [0]
