"""Summaries are what NumPy's plain functions say, for every dtype of numbers and whatever is in them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.store.brute_force import check

from haywain.store import summary
from haywain.store.summary import Summary, buckets_dtype, combine, summarise, tables_of

DTYPES = ["?", "i1", "u1", "<i2", ">u2", ">i4", "u4", "i8", "u8", "f2", "<f4", ">f8", "g", "M8[s]", "M8[D]"]
DTYPES += ["m8[ns]", ">M8[25us]", "M8[M]", "m8[Y]"]
SIZE, FANOUT = 4, 3


def numbers(dtype: str, rows: int, columns: int) -> st.SearchStrategy[Any]:
    """Return arrays with all that there may be: gaps, infinities, the ends of integers."""
    kind = np.dtype(dtype).kind
    if kind in "mM":  # seconds overflow no float64, but NumPy's own casts overflow int64
        small = st.integers(-(10**9), 10**9) | st.just(np.iinfo("i8").min)  # which is NaT
        ticks = hnp.arrays("i8", (rows, columns), elements=small)
        return ticks.map(lambda found: found.view(np.dtype(dtype).newbyteorder("=")).astype(dtype))
    return hnp.arrays(np.dtype(dtype), (rows, columns))


@settings(max_examples=200)
@given(data=st.data(), dtype=st.sampled_from(DTYPES))
def test_stretches_of_any_length(data: st.DataObject, dtype: str) -> None:
    column = data.draw(numbers(dtype, data.draw(st.integers(1, 40)), 1))[:, 0]
    inner = data.draw(st.sets(st.integers(1, max(len(column) - 1, 1)), max_size=5))
    edges = np.array(sorted({0, *inner, len(column)}))
    native = column.astype(column.dtype.newbyteorder("="))
    check(Summary.of(native, edges[:-1]), column, edges)


@settings(max_examples=200)
@given(st.data(), st.sampled_from(DTYPES), st.integers(1, 4), st.integers(1, 3))
def test_buckets_are_stored_and_combined(data: st.DataObject, dtype: str, buckets: int, columns: int) -> None:
    rows = data.draw(numbers(dtype, SIZE * FANOUT * buckets, columns))
    (table,) = tables_of(rows.dtype, (columns,))
    first = np.zeros((FANOUT * buckets, columns), buckets_dtype([table], 0))
    summarise(table, rows, first)
    second = np.zeros((buckets, columns), buckets_dtype([table], 1))
    combine(table, first, SIZE, second)
    for column in range(columns):
        found = table.load(first[:, column], SIZE)
        check(found, rows[:, column], np.arange(0, len(rows) + 1, SIZE))
        found = table.load(second[:, column], SIZE * FANOUT)
        check(found, rows[:, column], np.arange(0, len(rows) + 1, SIZE * FANOUT))


def test_fields_of_a_structure_have_buckets_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "PIECE_SIZE", 50)
    rows = np.zeros(64, [("at", ">M8[ms]"), ("name", "S3"), ("level", ">i2"), ("pair", "<f4", (2,))])
    rows["at"], rows["level"] = np.arange(64) * 500, np.arange(64)[::-1]
    tables = tables_of(rows.dtype, ())
    assert [table.field for table in tables] == ["at", "level"]
    buckets = np.zeros(64 // SIZE, buckets_dtype(tables, 0))
    for table in tables:
        summarise(table, rows, buckets)
        found = table.load(table.of(buckets)[:, 0], SIZE)
        check(found, rows[table.field], np.arange(0, 65, SIZE))


@pytest.mark.parametrize(
    ("dtype", "row"),
    [
        ("S3", ()),
        ("c8", (2,)),
        ("f4", (2, 2)),
        ("f4", (0,)),
        ("M8", ()),
        ([("a", "f4")], (2,)),
        ([("a", "S2")], ()),
    ],
    ids=str,
)
def test_rows_without_columns_of_numbers(dtype: Any, row: tuple[int, ...]) -> None:
    assert tables_of(np.dtype(dtype), row) == ()


def test_zero_bytes_are_a_bucket_of_zeros() -> None:
    """Hence rows that were never written need no buckets."""
    for dtype in DTYPES:
        (table,) = tables_of(np.dtype(dtype), ())
        for level in (0, 1):
            found = table.load(np.zeros(1, table.bucket(level)), 256)
            check(found, np.zeros(256, dtype), np.array([0, 256]))


def test_mean_of_many_numbers_is_as_exact_as_it_says() -> None:
    """0.1 in float32 is no round number: added up one by one, errors would add up too."""
    rows = np.full(1 << 21, 0.1, "<f4")
    found = Summary.of(rows, np.array([0]))
    assert abs(found.mean[0] - float(rows[0])) <= 1e-12 * 0.1
    mixed = np.tile(np.array([1e16, 1.0, -1e16]), 10_000)
    assert abs(Summary.of(mixed, np.array([0])).mean[0] - 1 / 3) <= 1e-12 * np.abs(mixed).mean()
