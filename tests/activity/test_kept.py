"""Arrays kept between steps come back as they were, and only what changed is written."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.activity.conftest import record_of

from haywain.activity.kept import KEPT_BYTES, Kept
from haywain.activity.kind import Work
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal import Portal
from haywain.values import MIB

ARRAYS = {
    "numbers": np.arange(300_000, dtype="<f8").reshape(3, -1),
    "complex": np.array([[1 + 2j]]),
    "count": np.array(7),
    "nothing": np.zeros((0, 4), "<i2"),
}


def test_arrays_come_back_as_they_were(portal: Portal) -> None:
    kept = portal.root.kept = Kept()
    kept.store(portal.connection, ARRAYS)
    portal.commit()
    portal.connection.cacheMinimize()
    found = kept.load()
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)
        found[name][...] = 0  # a copy, which can be written


def test_only_pieces_that_changed_are_written(portal: Portal) -> None:
    array = np.zeros(4 * MIB, np.uint8)
    array[::MIB] = [1, 2, 3, 4]
    kept = portal.root.kept = Kept()
    kept.store(portal.connection, {"a": array})
    portal.commit()
    before = kept.pieces["a"]
    array[2 * MIB] = 9
    kept.store(portal.connection, {"a": array})
    portal.commit()
    assert [old is new for old, new in zip(before, kept.pieces["a"], strict=True)] == [
        True,
        True,
        False,
        True,
    ]
    kept.store(portal.connection, {"a": array})
    assert not kept._p_changed
    assert np.array_equal(kept.load()["a"], array)


@pytest.mark.parametrize(
    "array", [np.zeros(KEPT_BYTES + 1, np.uint8), np.array([None])], ids=["large", "objects"]
)
def test_what_cannot_be_kept_is_refused(portal: Portal, array: np.ndarray) -> None:
    with pytest.raises(InvalidError, match="An activity keeps numbers"):
        Kept().store(portal.connection, {"a": array})


def test_run_goes_on_with_what_was_kept_and_leaves_nothing(
    portal: Portal, stream: Document, whats: dict[str, Callable[[Work], Any]]
) -> None:
    begun: list[list[int]] = []

    def work(work: Work) -> Iterator[float]:
        sums = work.kept.get("sums", np.zeros(2, np.int64))
        begun.append(sums.tolist())
        for index in range(work.cursor.get("index", 0), 4):
            if index == 2 and len(begun) == 1:
                raise ValueError("odd")
            sums += [1, index]
            work.kept, work.cursor["index"] = {"sums": sums}, index + 1
            yield index / 4
        return sums.tolist()

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    job.wait()
    assert record_of(portal, job.id).kept is not None
    job.retry()
    assert job.wait().result == [4, 6]
    assert begun == [[0, 0], [2, 1]] and record_of(portal, job.id).kept is None
