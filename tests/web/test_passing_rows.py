"""Rows that pass by are read little by little, whatever of them is sent."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from haywain.web import passing_rows
from haywain.web.passing_rows import PassingRows

TABLE = np.arange(8000, dtype="<i4").reshape(1000, 8)
RECORDS = np.array([(n, n / 2, (n, n)) for n in range(1000)], [("a", ">i8"), ("b", "<f4"), ("c", "i2", 2)])


@dataclass
class Kept:
    """Rows in memory, and how many of them were read at a time."""

    rows: np.ndarray[Any, Any]
    read_at_once: list[int] = field(default_factory=list)

    @property
    def row_bytes(self) -> int:
        """The bytes of each row."""
        return self.rows[:1].nbytes

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Return the rows [start, stop)."""
        self.read_at_once.append(stop - start)
        return self.rows[start:stop]


@pytest.mark.parametrize(
    ("whole", "items", "name"),
    [
        (TABLE, "(slice(None), 0)", ""),
        (TABLE, "(slice(3, 900, 7), slice(1, 3))", ""),
        (TABLE, "(slice(None, None, -1),)", ""),
        (TABLE, "(slice(5, 5),)", ""),
        (RECORDS, "(slice(None),)", "b"),
        (RECORDS, "(slice(10, None, 3),)", "c"),
    ],
    ids=["column", "steps", "backwards", "none", "field", "subarrays"],
)
def test_no_more_is_read_at_a_time_than_is_told(
    whole: np.ndarray[Any, Any], items: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing_rows, "AT_ONCE", 32 * 20)
    first, *rest = eval(items)
    expected = whole[(first, *rest)]
    expected = expected[name] if name else expected
    kept = Kept(whole)
    passing = PassingRows(kept, range(1000)[first], tuple(rest), name, expected)
    assert not kept.read_at_once and len(passing) == len(expected)
    assert np.array_equal(passing[:], expected) and passing.tobytes() == expected.tobytes()
    assert np.array_equal(passing[40:90], expected[40:90]) and passing[:].dtype == expected.dtype
    assert max(kept.read_at_once) <= 32 * 20 // kept.row_bytes


def test_a_row_that_is_larger_is_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing_rows, "AT_ONCE", 1)
    kept = Kept(TABLE[:5])
    assert np.array_equal(PassingRows(kept, range(5), (), "", TABLE[:5])[:], TABLE[:5])
    assert kept.read_at_once == [1] * 5
