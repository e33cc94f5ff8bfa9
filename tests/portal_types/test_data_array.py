"""Data Array: a document whose rows are one `numpy.ndarray`."""

from typing import Any

import numpy as np
import pytest
from ZODB.POSException import ConflictError

from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.portal_types.data_array import DataArray
from haywain.store.array import Array
from haywain.values import Column

pytestmark = pytest.mark.storages(each_run=True)


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
    assert np.shares_memory(np.asarray(array), array[:]) and np.asarray(array, "i8").tolist() == [[0, 9]]


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
            mine[:][3] = 7
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
        array[:][at] = 1
        array.flush()
    assert array.compact() == 1 and array.compact() == 0
    array.verify()
    array.verify(-5, 10**9)


@pytest.mark.parametrize("dtype", ["O", [("a", "O")]], ids=["object", "field"])
def test_objects_are_refused(portal: Portal, dtype: Any) -> None:
    with pytest.raises(InvalidError, match="Python objects"):
        new(portal, dtype=dtype)


@pytest.mark.parametrize("access", ["normal", "random", "sequential"])
def test_a_view_may_say_how_it_is_read(portal: Portal, access: str) -> None:
    array = new(portal, (3000,), "<i4")
    array[:] = np.arange(3000)
    assert array.view(-2, access=access).tolist() == [2998, 2999]
    assert array.view(5, 3, access).tolist() == [] and len(array.view(0, 10**9, access)) == 3000
    with pytest.raises(InvalidError, match="did you mean random"):
        array.view(access="randomly")
