"""Array: what is refused, what fails, and what is left then."""

import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.store.conftest import Begin
from tests.store.two import PAGE, ROWS_PER_BLOCK, Two

from haywain.errors import CorruptDataError, InvalidError
from haywain.store import address_space, pagemap
from haywain.store.address_space import MappingLimitError
from haywain.store.array import Array
from haywain.store.mapping import Mapping
from haywain.store.upkeep import verify
from haywain.store.views import views_of

pytestmark = [pytest.mark.usefixtures("small_blocks", "finding"), pytest.mark.storages()]
in_files = pytest.mark.storages("file")
views = pytest.mark.views


@views
def test_views_with_too_many_pieces_are_refused_whole(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in range(0, 16, 2):
        two[0].view()[page * PAGE // 8] = 1
        two[0].flush()
    two.commit(0)
    two.abort(1)
    gc.collect()  # what other tests left
    used = address_space.BUDGET.used
    monkeypatch.setattr(address_space, "MOST_MAPPINGS", used + 8)
    with pytest.raises(address_space.MappingLimitError, match="compact the array"):
        two[1].view()
    assert two[1].view(0, 5)[0] == 1
    monkeypatch.setattr(address_space, "MOST_MAPPINGS", used + 100)
    assert two[1].view().sum() == 8


@views
def test_a_refused_view_takes_nothing_from_others(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in range(4):
        two[0].view()[block * ROWS_PER_BLOCK + PAGE // 8 :: ROWS_PER_BLOCK] = 1
    two.commit(0)
    two.abort(1)
    kept = two[1].view(0, 1)
    used = address_space.BUDGET.used
    monkeypatch.setattr(address_space, "MOST_MAPPINGS", used + 3)
    with pytest.raises(MappingLimitError):
        two[1].view()
    assert address_space.BUDGET.used == used and kept[0] == 0


@views
def test_a_large_page_is_a_hole_only_as_a_whole(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else zeros that are written to its other part would not count as written."""
    two[0].write(PAGE, memoryview(np.ones(PAGE // 8, "i8").tobytes()))
    two[0].view()
    mapping = views_of(two[0]).mapping(two[0], 0)
    assert mapping._is_hole(0) and not mapping._is_hole(PAGE)
    monkeypatch.setattr(address_space, "PAGE", 4 * PAGE)
    assert not mapping._is_hole(0) and mapping._is_hole(4 * PAGE)


@views
def test_random_access_splits_no_mapping(two: Two) -> None:
    def mappings() -> int:
        return len(Path("/proc/self/maps").read_text().splitlines())

    rows = 4 * ROWS_PER_BLOCK
    two[0].write(0, memoryview(np.ones(rows, "i8").tobytes()))
    two.commit(0)
    two[0].view()
    before = mappings()
    for row in range(0, rows, PAGE // 4):
        two[0].view(row, row + 1, access="random")
    assert mappings() <= before + 8


@views
def test_mappings_are_counted_and_given_back(two: Two) -> None:
    gc.collect()  # what other tests left
    used = address_space.BUDGET.used
    two[0].append(np.ones(5000, "i8"))
    view = two[0].view()
    assert address_space.BUDGET.used > used
    two.abort(0)
    del view
    two.abort(0)
    two.abort(0)
    assert address_space.BUDGET.used == used


def committed_blob(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "blobs").rglob("*.blob")
    found.chmod(0o600)
    return found


@in_files
def test_a_blob_that_is_short_is_refused_before_it_is_mapped(two: Two, tmp_path: Path) -> None:
    two[0].append(np.ones(1500, "i8"))
    two.commit(0)
    path = committed_blob(tmp_path)
    os.truncate(path, path.stat().st_size - 1)
    two.abort(1)
    with pytest.raises(CorruptDataError, match="shorter"):
        two[1].view()
    with pytest.raises(CorruptDataError, match="shorter"):
        verify(two[1], 0, two[1].rows)


@pytest.mark.parametrize("at", [0, 5_000, -1])
@in_files
def test_verify_names_the_rows_of_a_flipped_bit(two: Two, tmp_path: Path, at: int) -> None:
    two[0].resize(0)
    two[0].append(np.ones(1500, "i8"))
    two.commit(0)
    verify(two[0], 0, 1500)
    path = committed_blob(tmp_path)
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptDataError, match="holds the rows"):
        verify(two[0], 0, 1500)


@views
def test_a_full_disk_fails_the_commit_and_the_view_shows_what_was_there(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = two[0].view()
    view[0] = 1

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Array, "_chunk", full)
        with pytest.raises(OSError, match="No space"):
            two.manager(0).commit()
    two.abort(0)
    assert view[0] == 0
    view[0] = 2
    two.commit(0)
    assert two[0].view()[0] == 2


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((3,), object, "Python objects"),
        ((3,), [("a", "i4"), ("b", "O")], "Python objects"),
        ((3,), "no dtype", "is no dtype"),
        ((3,), "S0", "no bytes of its own"),
        ((3,), [("x", "S0"), ("y", "i4")], "field 'x' has no bytes"),
        ((3,), "M8", "does not say its unit: write M8"),
        ((3,), [("t", "m8", (2,))], "does not say its unit: write m8"),
        ((3,), "(2,)f8", "no bytes of its own"),
        ((), "i8", "1 to 32 dimensions"),
        ((1,) * 33, "i8", "1 to 32 dimensions"),
        ((-1,), "i8", "makes no sense"),
        ((1.5,), "i8", "whole numbers"),
        ("3", "i8", "whole numbers"),
        ((1 << 60,), "i8", "at most"),
        ((0, 1 << 60), "i8", "at most"),
        ((1 << 60, 0), "i8", "at most"),
    ],
    ids=repr,
)
def test_what_makes_no_sense_is_refused(shape: Any, dtype: Any, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        Array(shape, dtype)


@pytest.mark.parametrize(
    "rows", [[[1, 2]], np.zeros((2, 4)), np.zeros((1, 1, 3)), "word", [1, [2, 3], 4], 5], ids=repr
)
def test_rows_of_another_shape_are_refused(begin: Begin, rows: Any) -> None:
    array = Array((0, 3), "i4")
    begin()[0].add(array)
    with pytest.raises(InvalidError):
        array.append(rows)
    assert array.append([1, 2, 3]) == 0 and array.append([]) == 1
    assert array.append([[4, 5, 6], [7, 8, 9]]) == 1
    assert array.view().tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_an_array_in_no_database_is_refused() -> None:
    with pytest.raises(InvalidError, match="add it first"):
        Array(3, "i8").append([1])


def test_without_the_calls_of_the_kernel_a_view_is_a_copy(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two[0].append(np.arange(5))
    monkeypatch.setattr(pagemap, "METHOD", "none")
    view = two[0].view(4 * ROWS_PER_BLOCK)
    assert list(view) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


@views
def test_a_view_may_grow_out_of_its_addresses(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("haywain.store.mapping.reserved", lambda size: size + 4 * PAGE)
    view = two[0].view()
    view[0] = 1
    two[0].resize(40 * ROWS_PER_BLOCK)
    later = two[0].view()
    later[-1] = 2
    assert (view[0], later[0]) == (1, 1)
    two.commit(0)
    two.abort(1)
    assert (two[1].view()[0], two[1].view()[-1]) == (1, 2)


@views
def test_memory_is_one_for_all_views_of_a_transaction(two: Two) -> None:
    first, second = two[0].view(), two[0].view(10, 20)
    first[12] = 5
    assert second[2] == 5 and np.shares_memory(first, second)
    assert isinstance(views_of(two[0]).mapping(two[0], 0), Mapping)
