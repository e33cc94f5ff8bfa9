"""Large pages change how fast a view is, and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transaction import TransactionManager

from haywain.store import mapping, readahead
from haywain.store.array import Array
from haywain.store.database import PortalConnection
from haywain.store.extents import PAGE
from haywain.store.readahead import LARGE_PAGE, reads_far
from haywain.store.views import views_of

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]
SIZE = 4 * LARGE_PAGE


@pytest.fixture(params=[True, False], ids=["large", "small"])
def array(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, begin: Begin) -> Array:
    """An array of one blob that is mapped in large pages, or is not."""
    monkeypatch.setattr(mapping, "reads_far", lambda descriptor: request.param)
    connection, manager = begin()
    found = connection.root()["array"] = Array((0,), "u1")
    connection.add(found)
    found.append(np.full(SIZE, 7, "u1"))
    manager.commit()
    manager.begin()
    return found


def test_a_view_in_large_pages_is_written_by_small_ones(array: Array, begin: Begin) -> None:
    view = array.view()
    assert int(view.sum(dtype="u8")) == 7 * SIZE
    view[LARGE_PAGE + 5] = view[3 * LARGE_PAGE - 1] = 9
    found = views_of(array).mapping(array, SIZE).written()
    assert found == [(LARGE_PAGE, LARGE_PAGE + PAGE), (3 * LARGE_PAGE - PAGE, 3 * LARGE_PAGE)]
    array._p_jar.transaction_manager.commit()
    other = begin()[0].root()["array"].view()
    assert other[LARGE_PAGE + 5] == other[3 * LARGE_PAGE - 1] == 9
    assert int(other.sum(dtype="u8")) == 7 * SIZE + 4


def test_what_was_written_is_dropped_by_an_abort(array: Array) -> None:
    view = array.view()
    view[::PAGE] = 1
    array._p_jar.transaction_manager.abort()
    assert int(view.sum(dtype="u8")) == 7 * SIZE


def test_rows_read_at_random_are_the_same(array: Array) -> None:
    view = array.view(access="random")
    assert int(view[:: 3 * PAGE].sum(dtype="u8")) == 7 * len(range(0, SIZE, 3 * PAGE))


def test_how_far_the_system_reads_is_asked_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "file", "wb") as file:
        monkeypatch.setattr(readahead, "FAR", 0)
        assert reads_far(file.fileno())
        monkeypatch.setattr(readahead, "FAR", 1 << 60)
        assert not reads_far(file.fileno())


def test_a_device_of_which_nothing_is_said_is_not_read_ahead() -> None:
    assert readahead._readahead(os.makedev(4000, 4000)) == 0
