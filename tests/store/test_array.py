"""Array: views in transactions, what conflicts and what does not, what is stored and what is refused."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.store.conftest import Begin
from transaction import TransactionManager
from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError

from haywain.errors import CorruptDataError, InvalidError
from haywain.store import address_space, block, extents, pagemap
from haywain.store.array import Array, StaleViewError
from haywain.store.database import Database, PortalConnection
from haywain.store.mapping import Mapping
from haywain.store.upkeep import fragmented, verify
from haywain.store.views import views_of

PAGE = extents.PAGE
ROWS_PER_BLOCK = 4 * PAGE // 8


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch, unsynced: None) -> None:
    """Blocks of four pages."""
    monkeypatch.setattr(extents, "BLOCK_SIZE", 4 * PAGE)
    monkeypatch.setattr(extents, "JOIN_GAP", PAGE)
    monkeypatch.setattr(block, "TAIL_SIZE", PAGE)


class Two:
    """Two connections to one array of 4 Blocks, `i8`; each call begins what was ended."""

    def __init__(self, begin: Begin, database: Database) -> None:
        with database.transaction() as connection:
            connection.root()["array"] = Array(4 * ROWS_PER_BLOCK, "i8")
        self._both = [begin(), begin()]

    def __getitem__(self, number: int) -> Array:
        found = self._both[number][0].root()["array"]
        assert isinstance(found, Array)
        return found

    def commit(self, number: int) -> None:
        try:
            self._both[number][1].commit()
        except (ConflictError, TransientError):
            self._both[number][1].abort()
            raise
        finally:
            self._both[number][1].begin()

    def abort(self, number: int) -> None:
        self._both[number][1].abort()
        self._both[number][1].begin()

    def manager(self, number: int) -> TransactionManager:
        return self._both[number][1]

    def connection(self, number: int) -> PortalConnection:
        return self._both[number][0]


@pytest.fixture
def two(begin: Begin, database: Database) -> Iterator[Two]:
    """Two connections to one array."""
    yield Two(begin, database)


def blobs(path: Path) -> int:
    return len(list((path / "blobs").rglob("*.blob")))


# -- views
def test_what_is_written_to_a_view_is_committed(two: Two) -> None:
    view = two[0].view()
    view[5], view[-1] = 7, 8
    two.commit(0)
    two.abort(1)
    other = two[1].view()
    assert (other[5], other[-1], other.sum()) == (7, 8, 15)


def test_what_was_written_is_committed_also_when_no_view_is_left(two: Two) -> None:
    two[0].view()[3] = 7
    two.commit(0)
    two.abort(1)
    assert two[1].view()[3] == 7


def test_a_view_shows_the_snapshot_that_it_was_taken_from(two: Two) -> None:
    view = two[0].view()
    two[1].view()[3] = 7
    two.commit(1)
    assert view[3] == 0
    two.abort(0)
    assert view[3] == 0 and two[0].view()[3] == 7


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


def test_a_write_behind_the_end_is_refused(two: Two) -> None:
    view = two[0].view()
    two[0].resize(10)
    two.commit(0)
    view[12] = 1
    with pytest.raises(StaleViewError, match="behind the last row"):
        two.commit(0)


def test_an_abort_shows_what_was_there(two: Two) -> None:
    two[0].view()[:] = 3
    two.commit(0)
    view = two[0].view()
    view[::100] = 4
    two[0].flush()
    view[7] = 5
    two.abort(0)
    assert (view == 3).all()


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


def test_a_view_outlives_connection_and_database(two: Two, database: Database) -> None:
    two[0].append(np.arange(5000))
    two.commit(0)
    view = two[0].view()
    two.manager(0).abort()
    two.connection(0).close()
    database.close()
    view[-1] += 1
    assert view[-1] == 5000 and view[-2] == 4998


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


def test_flush_makes_written_pages_those_of_a_file(two: Two, tmp_path: Path) -> None:
    view = two[0].view()
    view[:] = 5
    assert two[0].flush() and not two[0].flush()
    assert (view == 5).all()
    two.abort(0)
    assert not view.any() and not two[0].view().any()


def test_a_view_that_may_not_be_written_cannot_be(two: Two) -> None:
    with pytest.raises(ValueError, match="read-only"):
        two[0].view(writable=False)[0] = 1


# -- who conflicts with whom
def test_writers_of_different_blocks_do_not_conflict(two: Two) -> None:
    two[0].view()[0] = 1
    two[1].view()[ROWS_PER_BLOCK] = 2
    two.commit(0)
    two.commit(1)
    assert list(two[1].view()[[0, ROWS_PER_BLOCK]]) == [1, 2]


@pytest.mark.parametrize("at", [1, ROWS_PER_BLOCK - 1])
def test_writers_of_one_block_conflict(two: Two, at: int) -> None:
    two[0].view()[0] = 1
    two[1].view()[at] = 2
    two.commit(0)
    with pytest.raises(ConflictError):
        two.commit(1)


def test_an_append_and_a_write_do_not_conflict(two: Two) -> None:
    two[0].view()[0] = 1
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
        two[0].view()[: ROWS_PER_BLOCK + 9] = 1
        two.commit(0)
        two.abort(1)
    two[0].resize(ROWS_PER_BLOCK + 10)
    two[1].view()[[ROWS_PER_BLOCK + 600, 3 * ROWS_PER_BLOCK]] = 9
    two.commit(first)
    with pytest.raises(ConflictError):
        two.commit(1 - first)
    two[0].resize(ROWS_PER_BLOCK + 10)
    two[0].resize(4 * ROWS_PER_BLOCK)
    assert not two[0].view()[ROWS_PER_BLOCK + 10 :].any()


def test_a_transaction_that_writes_and_cuts_conflicts_with_writes(two: Two) -> None:
    two[0].view()[3 * ROWS_PER_BLOCK] = 9
    two[1].view()[0] = 1
    two[1].resize(ROWS_PER_BLOCK)
    two.commit(0)
    with pytest.raises(ConflictError):
        two.commit(1)


# -- what is stored
def test_small_appends_make_no_blob_until_the_tail_is_full(two: Two, tmp_path: Path) -> None:
    array = two[0]
    for number in range(PAGE // 8 - 1):
        array.append([number])
    two.commit(0)
    assert blobs(tmp_path) == 0
    array.append([PAGE // 8 - 1])
    two.commit(0)
    assert blobs(tmp_path) == 1 and not array.extent.tail_count
    assert list(array.view(4 * ROWS_PER_BLOCK)) == list(range(PAGE // 8))


@pytest.mark.parametrize("rows", [0, 1, 511, 512, 513, ROWS_PER_BLOCK, 3 * ROWS_PER_BLOCK + 5])
def test_rows_that_were_cut_come_back_as_zeros(two: Two, rows: int) -> None:
    two[0].view()[:] = 1
    two[0].append(np.ones(20, "i8"))
    two.commit(0)
    view = two[0].view()
    two[0].resize(rows)
    assert two[0].view().shape == (rows,)
    two[0].resize(4 * ROWS_PER_BLOCK)
    assert two[0].view()[:rows].all() and not two[0].view()[rows:].any()
    assert view[:rows].all() and not view[rows:].any()
    two.commit(0)
    two.abort(1)
    assert two[1].view().sum() == rows


def test_an_array_of_zeros_takes_no_room(begin: Begin, tmp_path: Path) -> None:
    connection, manager = begin()
    array = connection.root()["array"] = Array((10**9, 100), "f8")
    connection.add(array)
    manager.commit()
    assert blobs(tmp_path) == 0 and (tmp_path / "Data.fs").stat().st_size < 10_000


def test_runs_that_lie_close_become_one_extent(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "JOIN_GAP", 3 * PAGE)
    view = two[0].view()
    view[0] = view[2 * PAGE // 8] = 1
    two[0].flush()
    assert [e[::3] for e in two[0].blocks[0].extents] == [(0, 3 * PAGE)]


def test_a_block_of_many_extents_is_written_anew(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "MOST_EXTENTS", 2)
    for page in (0, 2):
        two[0].view()[page * PAGE // 8] = page + 1
        two[0].flush()
    assert len(two[0].blocks[0].extents) == 2
    two[0].view()[PAGE // 8] = 2
    two.commit(0)
    assert len(two[0].blocks[0].extents) == 1
    assert list(two[0].view()[: 3 * PAGE // 8 : PAGE // 8]) == [1, 2, 3]
    verify(two[0], 0, two[0].rows)


def test_compacting_leaves_one_extent_a_block_and_the_views_as_they_are(two: Two) -> None:
    for page in (0, 2, 5):
        two[0].view()[page * PAGE // 8] = page + 1
        two[0].flush()
    two.commit(0)
    view, before = two[0].view(), two[0].view().copy()
    view[1] = before[1] = 7
    assert fragmented(two[0]) == [0]
    two[0].compact_block(0)
    assert fragmented(two[0]) == [] and np.array_equal(view, before)
    two.commit(0)
    two.abort(1)
    assert np.array_equal(two[1].view(), before)


def test_a_blob_of_which_little_is_used_is_found(two: Two) -> None:
    two[0].view()[:ROWS_PER_BLOCK] = 1
    two.commit(0)
    two[0].view()[: ROWS_PER_BLOCK * 3 // 4] = 2
    two.commit(0)
    two[0].view()[ROWS_PER_BLOCK * 3 // 4 : ROWS_PER_BLOCK - 1] = 3
    assert fragmented(two[0]) == [0]


# -- what goes wrong
def test_views_with_too_many_pieces_are_refused_whole(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in range(0, 16, 2):
        two[0].view()[page * PAGE // 8] = 1
        two[0].flush()
    two.commit(0)
    two.abort(1)
    used = address_space.BUDGET.used
    monkeypatch.setattr(address_space, "MOST_MAPPINGS", used + 8)
    with pytest.raises(address_space.MappingLimitError, match="compact the array"):
        two[1].view()
    assert two[1].view(0, 5)[0] == 1
    monkeypatch.setattr(address_space, "MOST_MAPPINGS", used + 100)
    assert two[1].view().sum() == 8


def test_mappings_are_counted_and_given_back(two: Two) -> None:
    used = address_space.BUDGET.used
    two[0].append(np.ones(5000, "i8"))
    view = two[0].view()
    assert address_space.BUDGET.used > used
    two.abort(0)
    del view
    two.abort(0)
    two.abort(0)
    assert address_space.BUDGET.used == used


def committed_blob(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "blobs").rglob("*.blob")
    found.chmod(0o600)
    return found


def test_a_blob_that_is_short_is_refused_before_it_is_mapped(two: Two, tmp_path: Path) -> None:
    two[0].append(np.ones(1500, "i8"))
    two.commit(0)
    path = committed_blob(tmp_path)
    os.truncate(path, path.stat().st_size - 1)
    two.abort(1)
    with pytest.raises(CorruptDataError, match="shorter"):
        two[1].view()
    with pytest.raises(CorruptDataError, match="shorter"):
        verify(two[1], 0, two[1].rows)


@pytest.mark.parametrize("at", [0, 5_000, -1])
def test_verify_names_the_rows_of_a_flipped_bit(two: Two, tmp_path: Path, at: int) -> None:
    two[0].resize(0)
    two[0].append(np.ones(1500, "i8"))
    two.commit(0)
    verify(two[0], 0, 1500)
    path = committed_blob(tmp_path)
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptDataError, match="holds the rows"):
        verify(two[0], 0, 1500)


def test_a_full_disk_fails_the_commit_and_the_view_shows_what_was_there(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = two[0].view()
    view[0] = 1

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Array, "_chunk", full)
        with pytest.raises(OSError, match="No space"):
            two.manager(0).commit()
    two.abort(0)
    assert view[0] == 0
    view[0] = 2
    two.commit(0)
    assert two[0].view()[0] == 2


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((3,), object, "Python objects"),
        ((3,), [("a", "i4"), ("b", "O")], "Python objects"),
        ((3,), "no dtype", "is no dtype"),
        ((3,), "S0", "no bytes of its own"),
        ((3,), "(2,)f8", "no bytes of its own"),
        ((), "i8", "1 to 32 dimensions"),
        ((1,) * 33, "i8", "1 to 32 dimensions"),
        ((-1,), "i8", "makes no sense"),
        ((3, 0), "i8", "makes no sense"),
        ((1.5,), "i8", "whole numbers"),
        ("3", "i8", "whole numbers"),
        ((1 << 60,), "i8", "at most"),
        ((0, 1 << 60), "i8", "at most"),
    ],
    ids=repr,
)
def test_what_makes_no_sense_is_refused(shape: Any, dtype: Any, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        Array(shape, dtype)


@pytest.mark.parametrize(
    "rows", [[[1, 2]], np.zeros((2, 4)), np.zeros((1, 1, 3)), "word", [1, [2, 3], 4], 5], ids=repr
)
def test_rows_of_another_shape_are_refused(begin: Begin, rows: Any) -> None:
    array = Array((0, 3), "i4")
    begin()[0].add(array)
    with pytest.raises(InvalidError):
        array.append(rows)
    assert array.append([1, 2, 3]) == 0 and array.append([]) == 1
    assert array.append([[4, 5, 6], [7, 8, 9]]) == 1
    assert array.view().tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_an_array_in_no_database_is_refused() -> None:
    with pytest.raises(InvalidError, match="add it first"):
        Array(3, "i8").append([1])


def test_without_the_calls_of_the_kernel_a_view_is_a_copy(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two[0].append(np.arange(5))
    monkeypatch.setattr(pagemap, "METHOD", "none")
    view = two[0].view(4 * ROWS_PER_BLOCK)
    assert list(view) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_a_view_may_grow_out_of_its_addresses(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("haywain.store.mapping.reserved", lambda size: size + 4 * PAGE)
    view = two[0].view()
    view[0] = 1
    two[0].resize(40 * ROWS_PER_BLOCK)
    later = two[0].view()
    later[-1] = 2
    assert (view[0], later[0]) == (1, 1)
    two.commit(0)
    two.abort(1)
    assert (two[1].view()[0], two[1].view()[-1]) == (1, 2)


def test_memory_is_one_for_all_views_of_a_transaction(two: Two) -> None:
    first, second = two[0].view(), two[0].view(10, 20)
    first[12] = 5
    assert second[2] == 5 and np.shares_memory(first, second)
    assert isinstance(views_of(two[0]).mapping(two[0], 0), Mapping)
