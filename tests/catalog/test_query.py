"""Queries before they meet SQL: what is refused, cursors, full-text expressions, dates."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.catalog.query import MOST_VALUES, Query, decode_cursor, encode_cursor, match_expression
from haywain.errors import InvalidError, UnknownNameError


@pytest.mark.parametrize(
    "name", ["refrence", "self", "where", "__class__", "reference__title", "uid", "", "text; drop"]
)
def test_unknown_key_is_an_error(name: str) -> None:
    with pytest.raises(UnknownNameError):
        Query({name: "x"})
    with pytest.raises(UnknownNameError):
        Query(sort_on=(name,))


def test_unknown_key_names_the_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean reference"):
        Query({"refrence": "x"})


@pytest.mark.parametrize("limit", [0, -1, 1001, 10**30])
def test_limit_has_bounds(limit: int) -> None:
    with pytest.raises(InvalidError):
        Query(limit=limit)


def test_many_sort_keys_are_refused() -> None:
    with pytest.raises(InvalidError):
        Query(sort_on=("size",) * 9)


def raw(values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "\ud800",
        "====",
        raw([1]),
        raw([1, 2, 3]),
        raw({"a": 1}),
        raw([None, 1]),
        raw([[], 1]),
        raw([10**30, 1]),
        raw([float("nan"), 1]),
        raw([float("inf"), 1]),
        raw(["\ud800", 1]),
        base64.urlsafe_b64encode(b"[" * 30_000).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
    ids=range(15),
)
def test_tampered_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidError):
        decode_cursor(cursor, 2)


@given(
    st.lists(
        st.one_of(st.integers(-(2**62), 2**62), st.text(), st.floats(allow_nan=False, allow_infinity=False))
    )
)
def test_cursor_round_trip(values: list[object]) -> None:
    if all(not isinstance(v, str) or v.isprintable() for v in values):
        assert decode_cursor(encode_cursor(values), len(values)) == values


@given(st.text())
def test_match_expression_quotes_every_word(text: str) -> None:
    found = match_expression(text)
    assert found.count('"') % 2 == 0
    assert all(word.startswith('"') and word.endswith('"*') for word in found.split())


def test_match_expression_is_short() -> None:
    assert match_expression("a " * 10_000) == '"a"*'
    with pytest.raises(InvalidError):
        match_expression(" ".join(map(str, range(MOST_VALUES + 1))))
