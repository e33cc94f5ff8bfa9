"""Crossings agree with one row after the other, however the rows are cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.analysis.crossing import Course, Crossings, Limit, crossings

HOT = Limit(True, 3.0, 1.0)
LEVELS = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, float("nan")]), max_size=40)


def one_by_one(values: list[float], limit: Limit) -> list[tuple[int, bool]]:
    is_firing, run, found = False, 0, []
    for row, value in enumerate(values):
        if value != value:
            continue
        over = value > limit.threshold if limit.is_above else value < limit.threshold
        clear = value <= limit.clear if limit.is_above else value >= limit.clear
        run = run + 1 if over else 0
        if not is_firing and over and run >= limit.for_rows:
            is_firing = True
            found.append((row, True))
        elif is_firing and clear:
            is_firing = False
            found.append((row, False))
    return found


@given(values=LEVELS, cuts=st.sets(st.integers(1, 39)), rows=st.integers(1, 3), is_above=st.booleans())
def test_any_cut_finds_what_one_row_after_the_other_does(
    values: list[float], cuts: set[int], rows: int, is_above: bool
) -> None:
    limit = Limit(True, 3.0, 1.0, rows) if is_above else Limit(False, 1.0, 3.0, rows)
    course, found = Course(), []
    edges = [0, *sorted(cut for cut in cuts if cut < len(values)), len(values)]
    for start, stop in pairwise(edges):
        part = crossings(np.array(values[start:stop]), limit, course)
        changes = [part.at(number) for number in range(len(part.rows))]
        found += [(start + one.row, one.is_firing) for one in changes]
        course = part.course
    assert found == one_by_one(values, limit)


@pytest.mark.parametrize("dtype", ["u1", "<i8", ">f4", "f2", "?"])
def test_numbers_of_any_dtype_are_compared(dtype: str) -> None:
    found = crossings(np.array([0, 1, 0], dtype), Limit(True, 0.5, 0.5), Course())
    assert found.rows.tolist() == [1, 2] and found.is_first_firing


def test_level_is_of_the_width_of_the_numbers() -> None:
    """0.1 as float32 is more than 0.1, but not more than what 0.1 is there; nothing is beyond 1e300."""
    assert not len(crossings(np.array([0.1], "f4"), Limit(True, 0.1, 0.1), Course()).rows)
    assert not len(crossings(np.array([7e4], "f4"), Limit(True, 1e300, 1e300), Course()).rows)


def test_a_run_fires_only_where_the_time_is_ripe() -> None:
    def found(course: Course, is_ripe: bool) -> Crossings:
        return crossings(np.array([4.0, 4.0, 0.0, 4.0, 4.0]), HOT._replace(for_rows=2), course, is_ripe)

    assert not len(found(Course(), True).rows) and not len(found(Course(run=1), False).rows)
    ripe = found(Course(run=1), True)
    assert ripe.rows.tolist() == [0, 2] and ripe.course == Course(False, 2) and not ripe.is_unbroken
