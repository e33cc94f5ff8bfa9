"""Compacting stores fragmented Blocks anew and changes no number."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from haywain.document import Document
from haywain.portal import Portal, Site

ROWS = 400_000


@pytest.fixture
def fragmented(site: Site) -> str:
    def begin(portal: Portal) -> str:
        array = portal.new("Data Array")
        array.create((ROWS,), "<f8")
        array[:] = np.arange(ROWS)
        return str(array.path)

    path = site.transact(begin)[0]
    for start in range(0, ROWS, ROWS // 20):
        site.transact(lambda portal, start=start: portal[path].__setitem__(slice(start, start + 10), -1))
    return path


def test_blocks_are_compact_and_read_the_same(
    run: Callable[..., Any], fragmented: str, reading: Callable[[str], Document]
) -> None:
    before = reading(fragmented)[:].copy()
    count = len(reading(fragmented).fragmented())
    assert run(fragmented, "compact") == {"compacted": count} and count
    array = reading(fragmented)
    assert not array.fragmented() and np.array_equal(array[:], before)
    array.verify()
    assert run(fragmented, "compact") == {"compacted": 0}


def test_array_that_is_not_created_has_nothing_to_compact(run: Callable[..., Any], site: Site) -> None:
    path = site.transact(lambda portal: str(portal.new("Data Array").path))[0]
    assert run(path, "compact") == {"compacted": 0}
