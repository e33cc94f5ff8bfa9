"""Data Array: a document whose rows are one `numpy.ndarray`."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.elsewhere import is_memory_of, put
from ZODB.POSException import ConflictError

from haywain.activity.outbox import Outbox
from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.portal_types import data_array
from haywain.portal_types.data_array import DataArray
from haywain.store.array import Array
from haywain.store.views import views_of
from haywain.values import Column

pytestmark = [pytest.mark.usefixtures("finding"), pytest.mark.storages(each_run=True)]


def new(portal: Portal, shape: Any = (0, 2), dtype: Any = "<f4", **properties: Any) -> DataArray:
    array = portal.new("Data Array", **properties)
    assert isinstance(array, DataArray)
    array.create(shape=shape, dtype=dtype)
    return array


def test_rows_are_appended_sliced_and_assigned(portal: Portal) -> None:
    array = new(portal)
    assert array.append([[1, 2], [3, 4]]) == 0 and array.append([5, 6]) == 2
    assert array.shape == (3, 2) and array.dtype == np.dtype("<f4") and array.nbytes == array.size == 24
    assert len(array) == 3
    assert array[1].tolist() == [3, 4] and array[..., 0].tolist() == [1, 3, 5] and array[-1, 1] == 6
    array[0] = 9
    array[1:, 1] = [7, 8]
    array[[0, 2], 0] = 0
    assert array[:].tolist() == [[0, 9], [3, 7], [0, 8]]
    array.resize(1)
    assert array[:].tolist() == [[0, 9]]
    assert is_memory_of(np.asarray(array), array[:]) and np.asarray(array, "i8").tolist() == [[0, 9]]


@pytest.mark.views
def test_what_is_written_to_a_view_is_kept(site: Site) -> None:
    def make(portal: Portal) -> str:
        array = new(portal, (10,), "<i8")
        array[:][3] = 7
        return array.path

    path, _ = site.transact(make)
    with site.open() as portal:
        array: Any = portal[path]  # Any: one kind of document
        assert array[:].tolist() == [0, 0, 0, 7, 0, 0, 0, 0, 0, 0]
        view = array[:]
        view += 1
        portal.abort()
        assert view.sum() == 7
    site.transact(lambda p: p.delete(p[path]))


def test_a_change_of_rows_changes_size_and_row_but_not_the_document(site: Site) -> None:
    path, made = site.transact(lambda p: new(p, (4, 2)).path)
    site.transact(lambda p: p[path].append([[1, 2]]))  # type: ignore[attr-defined]  # a Data Array
    with site.open() as portal:
        array = portal[path]
        assert isinstance(array, DataArray)
        assert array.size == 40 and array._p_serial.hex() == made
        assert portal.catalog(path=path, size=40).count() == 1
        assert array.modified >= array.edited
    site.transact(lambda p: p.delete(p[path]))


def test_before_it_is_created_it_says_so(portal: Portal) -> None:
    array = portal.new("Data Array", reference="empty")
    assert isinstance(array, DataArray) and not array.is_created and bool(array)
    assert array.nbytes == 0 and array.fragmented() == [] and array.compact() == 0
    found = array.as_dict()
    assert (found["shape"], found["dtype"], found["nbytes"]) == (None, None, 0)
    for use in (lambda: array[:], lambda: array.shape, lambda: array.append([1]), array.flush):
        with pytest.raises(InvalidError, match="create it"):
            use()


def test_json_names_shape_dtype_and_columns(portal: Portal) -> None:
    array = new(portal, (3,), [("t", "<M8[us]"), ("x", "<f4", (2,))], columns=({"name": "t", "unit": "s"},))
    found = array.as_dict()
    assert (found["shape"], found["nbytes"]) == ([3], 48)
    assert found["dtype"] == [("t", "<M8[us]"), ("x", "<f4", (2,))]
    assert found["columns"] == [{"name": "t", "unit": "s", "description": ""}]
    assert array.columns == (Column("t", "s"),)
    assert new(portal, (3,), ">i2").as_dict()["dtype"] == ">i2"


@pytest.mark.parametrize(
    "columns",
    [({"unit": "s"},), ({"name": " "},), ({"name": "a"}, {"name": "a"}), ({"name": "a", "x": "y"},), ("a",)],
    ids=["no name", "empty name", "twice", "unknown", "no mapping"],
)
def test_columns_that_make_no_sense_are_refused(portal: Portal, columns: Any) -> None:
    with pytest.raises(InvalidError):
        portal.new("Data Array", columns=columns)


def test_blocks_cover_all_rows_and_keep_what_is_written(portal: Portal) -> None:
    array = new(portal, (40, 1 << 20), "<i4")  # 4 MiB a row
    for view in array.blocks(writable=True):
        view[:, 0] = 1
    assert not array.flush()
    assert [len(view) for view in array.blocks()] == [16, 16, 8]
    assert array[:, 0].sum() == 40
    with pytest.raises(ValueError, match="read-only"):
        next(array.blocks())[0] = 1


def test_created_anew_it_begins_with_zeros(portal: Portal) -> None:
    array = new(portal, (3,), "<i4")
    array[:] = 5
    view = array[:]
    array.create((2, 2), "<f8")
    assert array[:].tolist() == [[0, 0], [0, 0]] and view.tolist() == [5, 5, 5]


@pytest.mark.parametrize("first", ["writer", "maker"])
@pytest.mark.parametrize("write", ["assign", "append", "resize", "view"])
@pytest.mark.parametrize("make", ["create", "adopt"])
def test_no_write_is_lost_beside_one_who_makes_the_array_anew(
    site: Site, make: str, write: str, first: str
) -> None:
    def begin(portal: Portal) -> str:
        array = portal.new("Data Array")
        assert isinstance(array, DataArray)
        array.create((10,), "<i8")
        return array.path

    path = site.transact(begin)[0]
    with site.open() as maker, site.open() as writer:
        theirs, mine = maker[path], writer[path]
        assert isinstance(theirs, DataArray) and isinstance(mine, DataArray)
        if write == "assign":
            mine[0] = 5
        elif write == "append":
            mine.append([1])
        elif write == "resize":
            mine.resize(20)
        else:
            put(mine._created(), 3, 7)
        if make == "create":
            theirs.create((0,), "<i8")
        else:
            rows = Array((0,), "<i8")
            maker.connection.add(rows)
            theirs.adopt(rows)
        one, other = (writer, maker) if first == "writer" else (maker, writer)
        one.commit()
        with pytest.raises(ConflictError):
            other.commit()
        other.abort()


def test_verify_and_compact_take_any_rows(portal: Portal) -> None:
    array = new(portal, (3000,), "<i4")
    for at in (0, 2000):
        array[at] = 1
        array.flush()
    assert array.compact() == 1 and array.compact() == 0
    array.verify()
    array.verify(-5, 10**9)


@pytest.mark.parametrize("dtype", ["O", [("a", "O")]], ids=["object", "field"])
def test_objects_are_refused(portal: Portal, dtype: Any) -> None:
    with pytest.raises(InvalidError, match="Python objects"):
        new(portal, dtype=dtype)


def test_rows_to_be_read_once_are_as_they_are_now(portal: Portal) -> None:
    array = new(portal, (0,), "<i8")
    array.append(np.arange(200_000))
    array.append([7])  # in the tail
    rows = array.read(199_998)
    assert rows.tolist() == [199_998, 199_999, 7] and not rows.flags.writeable
    assert array.read(5, 2).size == 0 and array.read(-1).tolist() == [7]
    portal.commit()
    rows = array.read()
    array[200_000] = 8
    assert rows[-1] == 7 and array.read(-1).tolist() == [8]
    portal.commit()
    assert rows.sum() == 199_999 * 100_000 + 7


@pytest.mark.views
def test_rows_to_be_read_once_have_what_was_written_to_a_view(portal: Portal) -> None:
    array = new(portal, (1000,), "<i8")
    portal.commit()
    array[:][0] = 5
    assert array.read(0, 2).tolist() == [5, 0]
    portal.abort()
    assert array.read(0, 2).tolist() == [0, 0]


@pytest.mark.parametrize("access", ["normal", "random", "sequential"])
def test_a_view_may_say_how_it_is_read(portal: Portal, access: str) -> None:
    array = new(portal, (3000,), "<i4")
    array[:] = np.arange(3000)
    assert array.view(-2, access=access).tolist() == [2998, 2999]
    assert array.view(5, 3, access).tolist() == [] and len(array.view(0, 10**9, access)) == 3000
    with pytest.raises(InvalidError, match="did you mean random"):
        array.view(access="randomly")


def waiting(site: Site, path: str) -> int:
    """Return how many updates of the level of detail wait."""
    with site.open() as portal:
        shards = Outbox.of(portal.root).shards
        found = [record for shard in shards for record in shard.activities.values() if record.path == path]
        return sum(record.method == "level_of_detail" and record.state == "queued" for record in found)


def test_level_of_detail_has_the_columns_asked_for(portal: Portal) -> None:
    array = new(portal, columns=({"name": "left"}, {"name": "right"}))
    array.append(np.arange(20_000, dtype="<f4").reshape(-1, 2))
    found = array.level_of_detail(1000, 9000, 8)
    assert list(found.columns) == ["left", "right"] and found.edges.dtype == np.int64
    assert found.edges.tolist() == [1000, 2048, 3072, 4096, 5120, 5888, 6912, 7936, 9000]
    left = found.columns["left"]
    assert left.min.tolist() == [2 * edge for edge in found.edges[:-1]] and left.min.dtype == np.dtype("f4")
    assert left.max.tolist() == [2 * edge - 2 for edge in found.edges[1:]]
    assert left.mean.tolist() == [a + b - 1 for a, b in pairwise(found.edges)]
    assert left.count.tolist() == np.diff(found.edges).tolist()
    assert list(array.level_of_detail(columns=[1]).columns) == ["right"]
    assert list(array.level_of_detail(columns=["right", "left"]).columns) == ["right", "left"]
    with pytest.raises(InvalidError, match="no column of numbers 'up'; known are: left, right"):
        array.level_of_detail(columns=["up"])
    assert array.level_of_detail(-5, None, 1).edges.tolist() == [9995, 10_000]
    assert array.level_of_detail(5, 5).edges.tolist() == [5]


def test_times_have_their_own_dtype_and_a_mean_in_seconds(portal: Portal) -> None:
    array = new(portal, (0,), [("at", "<M8[ms]"), ("took", "<m8[s]"), ("is_on", "?")])
    array.append([(1000, 5, True), (3000, 7, False), ("NaT", "NaT", True)])
    found = array.level_of_detail(width=1).columns
    assert found["at"].max[0] == np.datetime64(3000, "ms") and found["at"].mean.tolist() == [2.0]
    assert found["took"].min[0] == np.timedelta64(5, "s") and found["took"].mean.tolist() == [6.0]
    assert (found["is_on"].min[0], found["is_on"].max[0]) == (False, True)
    assert [column.count[0] for column in found.values()] == [2, 2, 3]


def test_large_changes_and_many_small_ones_are_summed_up_afterwards(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_array, "DETAIL_ROWS", 1000)
    path, _ = site.transact(lambda portal: new(portal, (0,), "<f4").path)

    def write_blocks(array: Any) -> None:
        for block in array.blocks(writable=True):
            block += 1

    def run() -> None:
        while site.workers.run_next() == 0:
            pass

    for number, (change, count) in enumerate(
        [
            (lambda array: array.append(np.zeros(900)), 0),
            (lambda array: array.append(np.zeros(99)), 0),
            (lambda array: array.append(np.zeros(2)), 1),
            (lambda array: array.append(np.zeros(5000)), 1),
            (lambda array: array.__setitem__(slice(10, 20), 1), 0),
            (lambda array: array.__setitem__(slice(10, 3000), 2), 1),
            (write_blocks, 1),
            (lambda array: array.resize(9000), 0),
            (lambda array: array.create((5000, 2), "S3"), 0),
            (lambda array: array.__setitem__(slice(None), b"abc"), 0),
        ]
    ):
        site.transact(lambda portal, change=change: change(portal[path]))
        assert waiting(site, path) == count, number
        run()
        assert waiting(site, path) == 0


def test_too_many_rows_are_looked_at_in_part_and_then_summed_up(site: Site) -> None:
    def make(portal: Portal) -> str:
        array = new(portal, (0,), "<i4")
        array.append(np.arange(100_000))
        return str(array.path)

    path = site.transact(make)[0]
    with site.open() as portal:
        array: Any = portal[path]
        found = array.level_of_detail(width=10, most_rows=1000)
        assert found.is_sampled and found.columns["0"].max[-1] < 99_999
        portal.commit()
        assert waiting(site, path) == 1
        while site.workers.run_next() == 0:
            pass
        portal.abort()
        found = array.level_of_detail(width=10, most_rows=1000)
        assert not found.is_sampled and found.columns["0"].max[-1] == 99_999


def test_compacting_leaves_the_level_of_detail_as_it_is(site: Site) -> None:
    def make(portal: Portal) -> str:
        array = new(portal, (400_000,), "<f8")
        array[:] = np.arange(400_000)
        return str(array.path)

    path = site.transact(make)[0]
    site.transact(lambda portal: portal[path].__setitem__(slice(1000, 1005), -1))  # type: ignore[index]
    site.transact(lambda portal: portal[path].update_level_of_detail())  # type: ignore[attr-defined]
    with site.open() as portal:
        array: Any = portal[path]
        assert array.compact() == 1
        portal.commit()
        found = array.level_of_detail(width=100, most_rows=256)
        assert not found.is_sampled and found.columns["0"].min[0] == -1


@pytest.mark.views
def test_rows_that_are_found_leave_no_view(portal: Portal) -> None:
    array = new(portal, (100_000,), "<i8")
    assert array.rows_between(0, 1, None) == (100_000, 100_000)
    assert not views_of(array._created()).has(array._created())


def test_rows_between_two_times_are_a_view(portal: Portal) -> None:
    array = new(portal, (0,), [("time", "<M8[s]"), ("level", "<f4")])
    rows = np.zeros(300_000, array.dtype)
    rows["time"] = np.datetime64("2026-11-01", "s") + np.arange(len(rows))
    array.append(rows)
    found = array.between("time", "2026-11-01T00:10", "2026-11-01T00:20")
    assert np.array_equal(found, rows[600:1200]) and is_memory_of(found, array[:])
    assert array.rows_between("time", "2026-11-03") == (172_800, 300_000)
    put(array._created(), -1, ("2020-01-01", 0))  # not yet stored, and seen all the same
    with pytest.raises(InvalidError, match="'time' is not sorted: row 299999 is below row"):
        array.between("time", "2026-11-01")
