"""The index of a slice means what it means in NumPy, and nothing else is an index."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.errors import InvalidError
from haywain.store.index_text import parse_index
from haywain.values import Column
from haywain.web.slices import columns_after

SHAPE = (5, 4, 3)
ARRAY = np.arange(60).reshape(SHAPE)
bound = st.one_of(st.just(""), st.integers(-9, 9).map(str))
step = st.one_of(st.just(""), st.integers(-3, 3).filter(bool).map(lambda n: f":{n}"))
part = st.one_of(
    st.tuples(bound, bound, step).map(lambda p: f"{p[0]}:{p[1]}{p[2]}"), st.integers(-3, 2).map(str)
)


@given(st.lists(part, max_size=3), st.booleans(), st.integers(0, 3))
def test_index_is_that_of_numpy(parts: list[str], has_ellipsis: bool, place: int) -> None:
    if has_ellipsis:
        parts.insert(place, "...")
    text = ", ".join(parts)
    expected = eval(f"ARRAY[{text}]" if text else "ARRAY[()]")
    assert np.array_equal(ARRAY[parse_index(text, SHAPE)], expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,0,0", "4 items, the array of shape"),
        ("5", "lies outside of axis 0, which has 5"),
        ("...,-4", "lies outside of axis 2, which has 3"),
        ("...,...", "at most one ellipsis"),
        ("::0", "step cannot be 0"),
        ("a", "'a' makes no sense"),
        ("1:2:3:4", "makes no sense"),
        ("__import__('os')", "makes no sense"),
        ("\u0661", "makes no sense"),
        ("1,,2", "item 1 of the index .from 0. is empty"),
        (",", "item 0 of the index"),
        ("9" * 30, "9999999999999999999… lies outside of axis 0, which has 5"),
        ("-" + "9" * 900, "lies outside of axis 0"),
        (":\u0661", "makes no sense"),
        (":," * 600, "longer than 1000"),
    ],
)
def test_what_is_no_index_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        parse_index(text, SHAPE)


@pytest.mark.parametrize(
    ("text", "index"),
    [("0 : 2", slice(0, 2)), (" 0 :2 : 1 ", slice(0, 2, 1)), ("0:" + "9" * 40, slice(0, int("9" * 40)))],
)
def test_blanks_and_large_bounds_are_those_of_numpy(text: str, index: slice) -> None:
    assert np.array_equal(ARRAY[parse_index(text, SHAPE)], ARRAY[index])


class Table:
    is_created, shape, dtype = True, (9, 3), np.dtype("f4")
    columns = (Column("x"), Column("y"), Column("z"))

    def __getitem__(self, index: object) -> object:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "xyz"),
        ("0:2", "xyz"),
        (":,1", "y"),
        ("...,::2", "xz"),
        (":,::-1", "zyx"),
        ("...", "xyz"),
        ("0,...,1:", "yz"),
    ],
)
def test_columns_keep_their_names(text: str, names: str) -> None:
    assert columns_after(Table(), parse_index(text, Table.shape)) == list(names)
