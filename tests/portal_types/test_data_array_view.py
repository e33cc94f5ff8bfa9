"""Data Array View: arrays and lines side by side, or a part of one, under one name."""

from typing import Any

import numpy as np
import pytest
from tests.elsewhere import is_memory_of

from haywain.errors import InvalidError
from haywain.portal import Portal
from haywain.store import derived

pytestmark = pytest.mark.usefixtures("finding")


@pytest.fixture
def sources(portal: Portal) -> tuple[Any, Any, Any]:  # Any: each kind of document
    """A table of three columns, an array of structures of 90 rows, and a line of the table."""
    table: Any = portal.new("Data Array", columns=tuple({"name": name} for name in "abc"))
    table.create((100, 3), "<i4")
    table[:] = np.arange(300).reshape(-1, 3)
    records: Any = portal.new("Data Array", reference="records")
    records.create((90,), [("time", "<M8[s]"), ("level", ">f4")])
    rows = np.zeros(90, records.dtype)
    rows["time"], rows["level"] = np.arange(90).astype("M8[s]"), np.arange(90) / 2
    records[:] = rows
    line: Any = portal.new(
        "Data Array Line", array=table.path, index="10:, 1", columns=({"name": "b later"},)
    )
    return table, records, line


def view_of(portal: Portal, *sources: Any, **properties: Any) -> Any:  # Any: as above
    return portal.new("Data Array View", sources=tuple(one.path for one in sources), **properties)


def test_rows_stand_side_by_side_as_long_as_all_have_some(portal: Portal, sources: Any) -> None:
    table, records, line = sources
    view = view_of(portal, *sources)
    assert view.dtype.names == ("a", "b", "c", "time", "level", "b later") and view.shape == (90,)
    assert [column.name for column in view.columns] == list(view.dtype.names)
    assert view.dtype["level"] == np.dtype(">f4") and view.nbytes == 90 * (3 * 4 + 8 + 4 + 4)
    rows = view[20:30]
    for name, expected in [("a", table[20:30, 0]), ("c", table[20:30, 2]), ("b later", line[20:30])]:
        assert np.array_equal(rows[name], expected)
    assert np.array_equal(rows["time"], records[20:30]["time"]) and not rows.flags.writeable
    assert np.array_equal(np.asarray(view)["level"], records[:]["level"])
    records.append(np.zeros(20, records.dtype))
    assert len(view) == 90  # of the line
    assert view.rows_between("time", np.datetime64(30, "s"), np.datetime64(40, "s")) == (30, 40)
    assert view.between("b later", 100, 103)["b later"].tolist() == [100]


def test_a_view_of_one_source_is_its_memory(portal: Portal, sources: Any) -> None:
    table, records, line = sources
    view = view_of(portal, table, index="5:50:5, 1:")
    assert view.shape == (9, 2) and is_memory_of(view[:], table[:])
    assert np.array_equal(view[2:4], table[15:25:5, 1:]) and [one.name for one in view.columns] == ["b", "c"]
    assert view_of(portal, line, index="-1")[()] == table[-1, 1]
    assert view_of(portal, records, field="level", index="::-1")[0] == 44.5


def test_rows_side_by_side_are_read_once(portal: Portal, sources: Any) -> None:
    view = view_of(portal, *sources, index="5::3")
    assert np.array_equal(view.read(2, 9), view[2:9]) and np.array_equal(view.read(-1), view[-1:])
    assert view.row_bytes == 3 * (view.dtype.itemsize + 12 + 12 + 12)
    single = view_of(portal, sources[1], field="level")
    assert np.array_equal(single.read(80), sources[1][80:]["level"]) and single.row_bytes == 12


def test_several_values_in_a_field_are_read_as_rows(portal: Portal) -> None:
    array: Any = portal.new("Data Array")
    array.create((2,), [("level", "<f4", 3)])
    array[1] = ((1, 2, 3),)
    line = portal.new("Data Array Line", array=array.path, index="1")
    view = view_of(portal, line, field="level")
    assert view.read(1).tolist() == view[1:].tolist() == [2, 3]


def test_a_part_of_several_is_rows(portal: Portal, sources: Any) -> None:
    view = view_of(portal, *sources[:2], index="80:")
    assert view.shape == (10,) and view[0]["a"] == 240
    assert view_of(portal, *sources[:2], index="80:", field="c")[:].tolist() == list(range(242, 270, 3))


def test_more_than_memory_is_refused_and_taken_in_parts(
    portal: Portal, sources: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "MOST_BYTES", 24 * 50)
    view = view_of(portal, *sources[:2])
    with pytest.raises(InvalidError, match="take 50 rows at a time"):
        view[:]
    assert len(view[40:]) == 50


def test_what_cannot_stand_side_by_side_is_refused(portal: Portal, sources: Any) -> None:
    table, _, line = sources
    cube: Any = portal.new("Data Array", reference="cube")
    cube.create((5, 2, 2), "i1")
    single = portal.new("Data Array Line", array=table.path, index="1, 1")
    person = portal.new("Person", reference="x", password="long enough")
    for others, message in [
        ((table, table), "Two columns are called 'a'"),
        ((table, cube), "'cube' is no table"),
        ((table, single), "is no table"),
        ((table, person), "no Data Array or Data Array Line at"),
        ((view_of(portal, table),), "no Data Array or Data Array Line at"),
        ((), "no sources yet"),
    ]:
        view = view_of(portal, *others)
        assert not view.is_created and view.as_dict()["dtype"] is None and view.nbytes == 0
        with pytest.raises(InvalidError, match=message):
            view[:]
    assert view_of(portal, line, cube, field="x").columns == ()


def test_columns_without_names_are_called_after_their_source(portal: Portal) -> None:
    made: list[Any] = [portal.new("Data Array", reference=name) for name in ("left", "right")]
    made[0].create((3,), "i4")
    made[1].create((3, 2), "i4")
    assert view_of(portal, *made).dtype.names == ("left", "right 0", "right 1")
