"""Rows between two numbers of a sorted column: as numpy.searchsorted finds them, by few pages of rows."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.errors import InvalidError
from haywain.store.sorted_column import rows_between

DTYPES = ["<i8", ">i2", "u1", ">f4", "<f8", "?", "<M8[us]", ">M8[s]", "<M8[15m]", "<m8[ms]"]


def find(rows: np.ndarray[Any, Any], column: Any, low: Any, high: Any, names: Any = ()) -> tuple[int, int]:
    return rows_between(lambda start, stop: rows[start:stop], rows.shape, names, column, low, high)


@given(st.data(), st.sampled_from(DTYPES), st.integers(0, 3000), st.booleans())
def test_rows_are_those_of_numpy(data: st.DataObject, dtype: str, count: int, is_field: bool) -> None:
    most = 1 if dtype == "?" else 200
    numbers = np.random.default_rng(count).integers(0, most + 1, count)
    column = np.sort(numbers).astype(dtype)
    low, high = (data.draw(st.none() | st.sampled_from(np.arange(most + 1).astype(dtype))) for _ in range(2))
    rows = np.zeros(count, [("pad", "S3"), ("at", dtype)]) if is_field else np.zeros((count, 3), dtype)
    if is_field:
        rows["at"] = column
    else:
        rows[:, 1] = column
    start = 0 if low is None else int(np.searchsorted(column, low))
    stop = count if high is None else int(np.searchsorted(column, high))
    assert find(rows, "at" if is_field else 1, low, high) == (start, max(start, stop))


def test_few_rows_are_looked_at() -> None:
    looked: list[int] = []

    def rows(start: int, stop: int) -> np.ndarray[Any, Any]:
        looked.append(stop - start)
        return np.arange(start, stop)

    assert rows_between(rows, (10**15,), (), 0, 123_456_789, 987_654_321_000) == (
        123_456_789,
        987_654_321_000,
    )
    assert len(looked) < 2 * 45 and max(looked) <= 512


TIMES = np.datetime64("2026-11-01", "ms") + np.arange(100) * np.timedelta64(1, "h")


@pytest.mark.parametrize(
    ("low", "first"),
    [
        ("2026-11-02", 24),
        ("2026-11-02T01:00:00.000001", 26),
        ("2026-11-02T02:00:00Z", 26),
        ("2026-11-02 02:00:00+01:00", 25),
        (datetime(2026, 11, 2, 2), 26),
        (datetime(2026, 11, 2, 2, tzinfo=timezone(timedelta(hours=2))), 24),
        (datetime(2026, 11, 2, 3, tzinfo=UTC), 27),
        (np.datetime64("2026-11-02T03:00", "ns"), 27),
        ("2026-12", 100),
        ("1600", 0),
        ("9999-12-31", 100),
    ],
    ids=str,
)
def test_times_are_taken_in_any_unit_and_zone(low: Any, first: int) -> None:
    assert find(TIMES, 0, low, None) == (first, 100)
    assert find(TIMES.astype("M8[ns]"), 0, low, None) == (first, 100)


@pytest.mark.parametrize(
    ("bound", "first"),
    [
        ("2026-11-01T00:00:00.123456789Z", 2),
        ("2026-11-01T01:00:00.123456500+01:00", 1),
        ("2026-10-31T23:00:00,1234565-0100", 1),
        ("20261101T000000.123456001Z", 1),
        ("2026-11-01T00:00:00.123456789", 2),
        ("2026-11-01T00:00:00.123456500000000000001Z", 2),
        ("2026-11-01T00:00:00.123456499999", 1),
        ("2026-11-01T05:30:00.1234569990+05:30:00", 2),
        ("9999-12-31T00:00:00.123456789", 3),
    ],
)
def test_times_are_exact_below_a_microsecond(bound: str, first: int) -> None:
    rows = np.datetime64("2026-11-01T00:00:00.123456000") + np.array([0, 500, 999], "m8[ns]")
    assert find(rows, 0, bound, None) == (first, 3)
    assert find(rows.astype(">M8[ns]"), 0, None, bound) == (0, first)


def test_years_and_months_are_compared_as_such() -> None:
    months = np.arange("2020-01", "2030-01", dtype="M8[M]")
    assert find(months, 0, "2021-01-02", "2022") == (13, 24)
    assert find(months.astype("M8[Y]"), 0, "2021-01-02", None) == (24, 120)
    assert find(months, 0, "2021-02-01T00:30+01:00", "2021-03-01T00:00:00.0000000001Z") == (13, 15)


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "g"])
def test_nan_is_behind_all_others_and_in_no_range(dtype: str) -> None:
    rows = np.array([1, 2, np.inf, np.nan, np.nan], dtype)
    assert find(rows, 0, 2, None) == (1, 3) and find(rows, 0, None, None) == (0, 3)
    assert find(rows, 0, 2, np.inf) == (1, 2)
    assert find(rows, 0, np.inf, None) == (2, 3) and find(rows[[0, 1, 3]], 0, 3, None) == (2, 2)
    assert find(rows[3:], 0, None, None) == find(rows[3:], 0, 1, None) == (0, 0)


def test_nat_is_behind_all_others_and_in_no_range() -> None:
    rows = np.array(["2026"] + ["NaT"] * 5000, "M8[s]")
    assert find(rows, 0, "2026", "2100") == find(rows, 0, None, None) == (0, 1)
    assert find(rows, 0, "2027", None) == (1, 1)
    assert find(rows.view("m8[s]"), 0, 0, None) == (0, 1)


def test_whole_numbers_are_compared_exactly() -> None:
    rows = np.arange(2**53, 2**53 + 100)
    assert find(rows, 0, 2**53 + 1, str(2**53 + 7)) == (1, 7)
    assert find(rows, 0, "-inf", 2**70) == (0, 100)
    assert find(np.arange(10), 0, 2.5, "4.5") == (3, 5)


@pytest.mark.parametrize("place", [0, 5000, 9999], ids=["first", "middle", "last"])
def test_what_is_met_out_of_order_is_refused(place: int) -> None:
    rows = np.arange(10_000)
    rows[place] = 20_000 if place < 9999 else -1
    with pytest.raises(InvalidError, match=r"'time' is not sorted: row \d+ is below row \d+"):
        find(rows, "time", 4999, 5001, ["time"])


def test_descending_and_mixed_columns_are_refused() -> None:
    for rows in (np.arange(10_000)[::-1], np.random.default_rng(1).permutation(10_000)):
        with pytest.raises(InvalidError, match="not sorted"):
            find(rows, 0, 10, 20)


def test_columns_that_are_not_there_or_not_numbers_are_refused() -> None:
    rows = np.zeros(3, [("time", "M8[s]"), ("name", "S3")])
    with pytest.raises(InvalidError, match="did you mean time"):
        find(rows, "tim", 0, 1)
    with pytest.raises(InvalidError, match="no column of numbers 'name'"):
        find(rows, "name", "a", "b")
    with pytest.raises(InvalidError, match="no column of real numbers"):
        find(np.zeros((3, 2, 2)), 0, 0, 1)


@pytest.mark.parametrize(
    ("dtype", "bound", "wanted"),
    [
        ("M8[s]", 5, "a time"),
        ("M8[s]", "yesterday", "a time"),
        ("M8[s]", "2026-11-01T00:00+25:00", "a time"),
        ("M8[s]", "2026-11-01+01:00", "a time"),
        ("M8[s]", "2026-11-01T00:00.5", "a time"),
        ("M8[s]", np.datetime64("NaT"), "a time"),
        ("m8[s]", "long", "a duration"),
        ("i4", "many", "a number"),
        ("f4", float("nan"), "a number"),
        ("f4", datetime(2026, 1, 1), "a number"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(dtype: str, bound: Any, wanted: str) -> None:
    with pytest.raises(InvalidError, match=f"between: {wanted} is expected for '0'"):
        find(np.zeros(3, dtype), 0, bound, None)


def test_no_rows_have_none_between() -> None:
    assert find(np.zeros(0), 0, 1, 2) == (0, 0)
    assert find(np.arange(9), 0, 5, 3) == (5, 5)
