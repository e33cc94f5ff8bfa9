"""Data Array Line: a part of a Data Array under a name of its own."""

from typing import Any

import numpy as np
import pytest

from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.store.views import views_of

pytestmark = pytest.mark.usefixtures("finding")

COLUMNS = ({"name": "time", "unit": "s"}, {"name": "left", "unit": "m/s2"}, {"name": "right"})


@pytest.fixture
def array(portal: Portal) -> Any:  # Any: one kind of document
    made: Any = portal.new("Data Array", reference="turbine", columns=COLUMNS)
    made.create((0, 3), "<f8")
    made.append(np.arange(3000).reshape(-1, 3))
    return made


def line_of(portal: Portal, array: Any, index: str, **properties: Any) -> Any:  # Any: as above
    return portal.new("Data Array Line", array=array.path, index=index, **properties)


def test_a_line_is_a_column_that_grows_with_the_array(portal: Portal, array: Any) -> None:
    line = line_of(portal, array, ":, 1")
    assert line.shape == (1000,) and line.dtype == np.dtype("<f8") and len(line) == 1000
    assert line.nbytes == 8000 and line.size == 0 and line.is_created
    assert [column.name for column in line.columns] == ["left"] and line.columns[0].unit == "m/s2"
    assert np.array_equal(line[:], array[:][:, 1]) and line[-1] == 2998
    array.append([7, 8, 9])
    assert len(line) == 1001 and line[-1] == 8 and np.asarray(line).sum() == array[:][:, 1].sum()


@pytest.mark.views
def test_a_line_is_the_memory_of_the_array(site: Site) -> None:
    def make(portal: Portal) -> list[str]:
        array: Any = portal.new("Data Array")
        array.create((10, 2), "<i4")
        line = line_of(portal, array, "::2, 1")
        assert np.shares_memory(line[:], array[:])
        line[1:3][:] = 5
        return [array.path, line.path]

    paths = site.transact(make)[0]
    with site.open() as portal:
        array, line = (portal[path] for path in paths)
        assert array[:, 1].tolist() == [0, 0, 5, 0, 5, 0, 0, 0, 0, 0]  # type: ignore[index]
        assert line[:].tolist() == [0, 5, 5, 0, 0]  # type: ignore[index]


@pytest.mark.parametrize(
    "index",
    ["", "...", ":", "5", "5, 1", "..., 0", "::-1", "10:4:-2, 1:", "-5:", "2000:", "3:9:4", "..., 1, 2"],
)
@pytest.mark.parametrize("part", ["...", ":", "1:3", "::-1", "[0, -1]", "..., None"])
def test_a_line_is_what_numpy_says(portal: Portal, array: Any, index: str, part: str) -> None:
    line = line_of(portal, array, index)
    rows = np.asarray(eval(f"array[:][{index or '...'}]"))
    assert (line.shape, line.dtype, line.nbytes) == (rows.shape, rows.dtype, rows.nbytes)
    try:
        expected = eval(f"rows[{part}]")
    except IndexError:
        with pytest.raises(IndexError):
            eval(f"line[{part}]")
    else:
        assert np.array_equal(eval(f"line[{part}]"), expected)


@pytest.mark.parametrize(
    "index", ["", "5", "5, 1:", "..., 0", "::-1", "10:4:-2, 1:", "-5:", "2000:", "3:9:4"]
)
@pytest.mark.parametrize("part", [":", "1:3", "-2:", "3:1"])
def test_rows_of_a_line_are_read_once(portal: Portal, array: Any, index: str, part: str) -> None:
    line = line_of(portal, array, index)
    start, stop = (int(one) if one else None for one in part.split(":"))
    found = line.read(start or 0, stop)
    assert np.array_equal(found, eval(f"line[{part}]")) and not found.flags.writeable
    assert found.dtype == line.dtype and line.row_bytes >= found[:1].nbytes


@pytest.mark.views
def test_rows_that_are_read_or_found_leave_no_view(portal: Portal, array: Any) -> None:
    line = line_of(portal, array, "::2, :2")
    view = portal.new("Data Array View", sources=(line.path, line_of(portal, array, ":, 2").path))
    assert line.read(5).shape == (495, 2) and line.rows_between("time", 60, None) == (10, 500)
    assert view.rows_between("right", 62, None) == (20, 500)  # type: ignore[attr-defined]  # a view
    assert not views_of(array._array).has(array._array)
    assert line.row_bytes == 48 and view.row_bytes == 24 + 48 + 24  # type: ignore[attr-defined]  # as above


def test_a_single_value_has_no_rows_to_read(portal: Portal, array: Any) -> None:
    with pytest.raises(InvalidError, match="no rows"):
        line_of(portal, array, "1, 1").read()


def test_a_line_is_a_field_of_structures(portal: Portal) -> None:
    array: Any = portal.new("Data Array")
    array.create((5,), [("time", "<M8[s]"), ("level", "<f4")])
    line = line_of(portal, array, "1:", field="level")
    assert line.shape == (4,) and line.dtype == np.dtype("<f4") and line.columns[0].name == "level"
    with pytest.raises(InvalidError, match="did you mean level"):
        line_of(portal, array, "", field="leve").shape  # noqa: B018


def test_a_line_has_names_of_its_own_if_there_are_as_many(portal: Portal, array: Any) -> None:
    own = ({"name": "links"}, {"name": "rechts"})
    assert [one.name for one in line_of(portal, array, ":, 1:", columns=own).columns] == ["links", "rechts"]
    assert [one.name for one in line_of(portal, array, ":, :1", columns=own).columns] == ["time"]


def test_rows_of_a_line_are_found_by_a_column(portal: Portal, array: Any) -> None:
    line = line_of(portal, array, "100:, :2")
    assert line.rows_between("time", 600, 900) == (100, 200)
    assert np.array_equal(line.between("left", 601, 610), array[200:203, :2])
    with pytest.raises(InvalidError, match="no rows"):
        line_of(portal, array, "1, 1").between("time", 1, 2)


def test_a_line_without_its_array_says_so(portal: Portal, array: Any) -> None:
    nothing, other = (
        portal.new("Data Array Line"),
        line_of(portal, portal.new("Person", reference="x", password="long enough"), ""),
    )
    outside = line_of(portal, array, "5000")
    for line in (nothing, other, outside):
        assert not line.is_created and line.as_dict()["shape"] is None and line.nbytes == 0
        assert line.columns == ()
    with pytest.raises(InvalidError, match="no Data Array at 'person_module"):
        other[:]
    with pytest.raises(InvalidError, match="outside of axis 0"):
        outside[:]
    line = line_of(portal, array, "")
    portal.delete(array)
    with pytest.raises(InvalidError, match="no Data Array at"):
        line.shape  # noqa: B018


@pytest.mark.parametrize("index", ["a", "::0", "1,,2", "..., ..."])
def test_an_index_that_makes_no_sense_is_refused(portal: Portal, index: str) -> None:
    with pytest.raises(InvalidError, match="index"):
        portal.new("Data Array Line", index=index)
