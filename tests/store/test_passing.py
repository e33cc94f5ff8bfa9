"""Rows that are read once: out of Blocks of any kind, and without what other rows take."""

import numpy as np
import pytest
from tests.store.two import PAGE, ROWS_PER_BLOCK, Two

from haywain.store import mapping, passing
from haywain.store.array import Array
from haywain.store.assignment import assign


def scattered(two: Two) -> Array:
    """Return an array, of which the first Block lies in many pieces."""
    for page in range(0, ROWS_PER_BLOCK, 2 * PAGE // 8):
        assign(two[0], page, page)
        two.commit(0)
    return two[0]


@pytest.mark.parametrize("most", [0, 1000], ids=["copied", "mapped"])
def test_rows_of_a_block_in_pieces_are_those_of_the_array(
    two: Two, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    array, made = scattered(two), list[object]()
    monkeypatch.setattr(passing, "MOST_PIECES", most)
    monkeypatch.setattr(passing, "Mapping", lambda found: made.append(found) or mapping.Mapping(found))
    expected = array.copy(0, array.rows)
    for start, stop in ((0, 3), (5, ROWS_PER_BLOCK - 1)):
        rows = passing.passing(array, start, stop)
        assert np.array_equal(rows, expected[start:stop]) and not rows.flags.writeable
    assert bool(made) == (most > 0)
    whole = passing.passing(array, 0, array.rows)
    assert np.array_equal(whole, expected) and not whole.flags.writeable
