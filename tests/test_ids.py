"""Ids: what may be the last part of a path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.errors import InvalidError
from haywain.ids import RESERVED_IDS, check_id, new_id


@pytest.mark.parametrize(
    "bad", ["", "a/b", "a\\b", "\0", "a\n", "_x", "@x", ".", "..", "x" * 256, 5, None, [], "\ud800"]
)
def test_bad_ids_are_refused(bad: object) -> None:
    with pytest.raises(InvalidError):
        check_id(bad)


@pytest.mark.parametrize("name", sorted(RESERVED_IDS))
def test_names_of_pages_are_no_ids(name: str) -> None:
    with pytest.raises(InvalidError):
        check_id(name)


@given(st.text(max_size=20))
def test_an_id_that_passes_is_one_part_of_a_path(text: str) -> None:
    try:
        found = check_id(text)
    except InvalidError:
        return
    assert found.encode() and "/" not in found and found not in (".", "..") and check_id(found) == found


def test_made_up_ids_grow_with_time(set_clock) -> None:
    first = new_id()
    set_clock.forward(1)
    assert first < new_id() and len(first) == 16
