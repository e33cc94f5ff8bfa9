"""The grid of an array's page: the slice that the address asks for, and what of it is not shown."""

from typing import Any

import numpy as np
import pytest
from tests.web.pages.test_plot import Memory

from haywain.values import Column
from haywain.web.formats import FORMATS
from haywain.web.pages.data_array import Grid, grid_of

TABLE = Memory(np.arange(200).reshape(100, 2), Column("left"), Column("right"))


def grid(array: np.ndarray[Any, Any], index: str) -> Grid:
    return grid_of(Memory(array), index)


def test_first_rows_at_first() -> None:
    found = grid_of(TABLE, "")
    assert (found.index, found.headings, found.shape, found.cut) == ("0:25", ("left", "right"), "25×2", "")
    assert found.rows[0] == ("0", ("0", "1")) and found.rows[-1] == ("24", ("48", "49"))
    assert (found.previous, found.next) == ("", "?index=25%3A50")


@pytest.mark.parametrize(
    ("index", "previous", "following"),
    [
        ("90:100", "?index=80%3A90", ""),
        ("5:15, 1", "?index=0%3A10%2C+1", "?index=15%3A25%2C+1"),
        ("-10:", "?index=80%3A90", ""),
        ("::2", "", ""),
        ("3", "", ""),
        ("0:0", "", ""),
        ("200:300", "", ""),
    ],
)
def test_neighbours(index: str, previous: str, following: str) -> None:
    found = grid_of(TABLE, index)
    assert (found.previous, found.next) == (previous, following)


def test_rows_are_numbered_as_in_the_array() -> None:
    assert [number for number, _ in grid_of(TABLE, "98:90:-3").rows] == ["98", "95", "92"]
    assert grid_of(TABLE, "-1").rows[0][0] == "99"
    assert grid_of(TABLE, ":, 1").headings == ("right",)


def test_what_is_not_shown_is_said() -> None:
    assert grid(np.zeros((100, 2)), ":").cut == "25 of 100 rows"
    assert grid(np.zeros((2, 100)), ":").cut == "12 of 100 columns"
    assert grid(np.zeros((7, 3, 2, 2)), ":").cut == "the first of 7 × 3 tables"
    assert grid(np.zeros((7, 3, 2, 2)), "1,2").cut == ""


def test_every_type_has_its_text() -> None:
    records = np.array(
        [(1, "2026-01-01", b"ab", np.nan)], [("n", "i2"), ("t", "M8[D]"), ("s", "S3"), ("v", "f4")]
    )
    found = grid(records, "")
    assert found.headings == ("n", "t", "s", "v") and found.rows == (("0", ("1", "2026-01-01", "ab", "nan")),)
    assert grid(np.array(1 / 3), "").rows == (("0", ("0.333333333",)),)
    assert grid(np.array([1 + 2j]), "").rows[0][1] == ("[1.0, 2.0]",)
    assert grid(np.zeros((0, 2)), "").rows == ()


def test_an_index_that_makes_no_sense_is_said_on_the_page() -> None:
    found = grid_of(TABLE, "1,2,3")
    assert found.rows == () and "3 items" in found.wrong and found.index == "1,2,3"


@pytest.mark.parametrize("index", ["0:0", "5:2", ":, 1:1", "..., 0:0"])
def test_empty_slice_of_many_dimensions_has_no_rows(index: str) -> None:
    found = grid(np.zeros((20, 3, 4, 2)), index)
    assert (found.rows, found.cut, found.wrong) == ((), "", "")


def test_what_is_no_finite_number_has_its_word() -> None:
    found = grid(np.array([[np.nan, np.inf, -np.inf]]), "")
    assert found.rows == (("0", ("nan", "inf", "-inf")),)
    assert grid(np.array(["NaT"], "M8[s]"), "").rows == (("0", ("NaT",)),)


@pytest.mark.parametrize(
    ("array", "left_out"),
    [
        (np.zeros((2, 2)), set()),
        (np.zeros((0, 2)), set()),
        (np.zeros((2, 2, 2)), {"csv", "arrow"}),
        (np.zeros(2, "S2"), {"arrow"}),
        (np.zeros(2, [("a", "f8"), ("b", "f8", 2)]), {"arrow"}),
        (np.broadcast_to(np.int8(0), (2_000_000,)), {"json", "csv", "arrow"}),
    ],
    ids=["table", "empty", "3-D", "texts", "field of several", "long"],
)
def test_only_formats_that_can_hold_the_slice_are_offered(
    array: np.ndarray[Any, Any], left_out: set[str]
) -> None:
    assert set(FORMATS) - set(grid(array, "...").formats) == left_out
