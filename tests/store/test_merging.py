"""Of a block of too many extents only the smallest are written anew."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from haywain.store.extents import Extents, Span, overlay, united
from haywain.store.merging import absorbed
from haywain.values import MIB

SIZE = 64
SPANS = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 9)), max_size=20).map(
    lambda found: united((low, min(low + length, SIZE)) for low, length in found)
)


def stored(spans: list[Span]) -> Extents[str]:
    """Return extents that lie each in a blob of its own."""
    return tuple((low, str(low), 0, high - low) for low, high in spans)


def after(old: list[Span], new: list[Span], more: list[Span]) -> list[tuple[int, int]]:
    """Return (offset, length) of the extents after `new` and `more` were written, side by side as one."""
    written = united([*new, *more])
    found = overlay(stored(old), tuple((low, "new", 0, high - low) for low, high in written), SIZE)
    return [(offset, length) for offset, _, _, length in found]


@given(SPANS, SPANS, st.integers(1, 8))
def test_there_are_no_more_extents_than_allowed(old: list[Span], new: list[Span], most: int) -> None:
    more = absorbed(stored(old), new, SIZE, most)
    assert len(after(old, new, more)) <= most


@given(SPANS, SPANS, st.integers(1, 8))
def test_what_is_new_is_not_written_twice(old: list[Span], new: list[Span], most: int) -> None:
    more = absorbed(stored(old), new, SIZE, most)
    both = sorted([*new, *more])
    assert all(high <= low for (_, high), (low, _) in pairwise(both))


@given(SPANS, SPANS, st.integers(1, 8))
def test_zeros_are_written_between_extents_only(old: list[Span], new: list[Span], most: int) -> None:
    more = absorbed(stored(old), new, SIZE, most)
    for low, high in united([*new, *more]):
        assert any(start <= low < stop for start, stop in [*old, *new])
        assert any(start < high <= stop for start, stop in [*old, *new])


@given(SPANS, SPANS)
def test_nothing_is_written_where_there_are_few(old: list[Span], new: list[Span]) -> None:
    assert absorbed(stored(old), new, SIZE, 2 * SIZE) == []


def test_scattered_pages_cost_a_part_of_the_block() -> None:
    """Ten times 1 % of the pages of 64 MiB, with at most 256 extents: to write all anew would be 64 MiB."""
    size, page, chance = 64 * MIB, 4096, random.Random(7)
    old: Extents[str] = ((0, "first", 0, size),)
    for _ in range(10):
        new = united((at, at + page) for at in chance.sample(range(0, size, page), 164))
        more = absorbed(old, new, size, 256)
        assert sum(high - low for low, high in more) < size / 3
        written = united([*new, *more])
        old = overlay(old, tuple((low, "new", 0, high - low) for low, high in written), size)
        assert len(old) <= 256
