"""Systems on which arrays promise the same: each way to find what was written to a view, and no views at all.

A test that uses the fixture `finding` runs with each way that this system has (`scan`, `pagemap`), and with
`none`, as where the calls of Linux are missing: views are copies then, and rows are assigned.  With the
marker `views` it runs with views alone.  On other storages than a FileStorage it runs with the first way.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from haywain.store import address_space, pagemap
from haywain.store.array import Array
from haywain.store.assignment import assign

VIEWS = {"scan": ["scan", "pagemap"], "pagemap": ["pagemap"], "none": []}[pagemap.METHOD]
"""The ways to find what was written to a view that this system has."""

METHODS = [*VIEWS, "none"]


def use(method: str, patch: pytest.MonkeyPatch) -> None:
    """Have written pages found in a way; with `none` there are no addresses for views either."""
    patch.setattr(pagemap, "METHOD", method)
    if method == "none":
        patch.setattr(address_space, "_map", _missing)


def _missing(*_: object, **__: object) -> int:
    raise AssertionError("a view was mapped where there are none")


def chosen(marker: pytest.Mark | None) -> list[str]:
    """Return the ways for a test, by its marker `views`."""
    return METHODS if marker is None else VIEWS


def is_too_much(item: pytest.Item) -> bool:
    """Return whether a test need not run: in a second way, on another storage."""
    found = getattr(item, "callspec", None)
    given: dict[str, Any] = found.params if found is not None else {}  # Any: parameters of tests
    return given.get("storage_kind", "file") != "file" and given.get("finding", METHODS[0]) != METHODS[0]


def put(array: Array, index: Any, value: Any) -> None:  # Any: as numpy.ndarray has them
    """Write through a view where there are views, else by assignment."""
    if pagemap.METHOD == "none":
        assign(array, index, value)
    else:
        array.view()[index] = value


def is_memory_of(view: NDArray[Any], other: NDArray[Any]) -> bool:  # Any: of whatever dtype
    """Return whether a view shows the memory of another; where there are none, whether it is a copy."""
    return bool(np.shares_memory(view, other)) != (pagemap.METHOD == "none")
