"""What is stored anew is checked first: new checksums vouch for no bytes that were damaged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.damage import flipped
from tests.elsewhere import put
from tests.store.two import PAGE, ROWS_PER_BLOCK, Two

from haywain.errors import CorruptDataError
from haywain.store import extents
from haywain.store.array import Array
from haywain.store.chunk import BlobChunk
from haywain.store.upkeep import verify

pytestmark = [pytest.mark.usefixtures("small_blocks", "finding"), pytest.mark.storages("file")]

PAGE_ROWS = PAGE // 8


@pytest.fixture
def blob(two: Two, tmp_path: Path) -> Path:
    """The blob of the first two Blocks; behind it, page 5 of the array is written once more."""
    two[0].write(0, memoryview(np.arange(2 * ROWS_PER_BLOCK).tobytes()))
    two.commit(0)
    (found, *_) = sorted((tmp_path / "blobs").rglob("*.blob"))
    found.chmod(0o600)
    put(two[0], 5 * PAGE_ROWS, -1)
    two.commit(0)
    return found


def absorb(array: Array) -> None:
    """Write two pages of the first Block, of which it keeps no more than two extents."""
    for page in (0, 2):
        put(array, page * PAGE_ROWS, -1)


def compact(array: Array) -> None:
    array.compact_block(0)


@pytest.mark.parametrize("store_anew", [absorb, compact])
def test_damaged_bytes_are_not_stored_anew(
    two: Two, blob: Path, monkeypatch: pytest.MonkeyPatch, store_anew: Callable[[Array], None]
) -> None:
    monkeypatch.setattr(extents, "most_extents", lambda size: 2)
    with flipped(blob, 8 * (PAGE + 100)):
        with pytest.raises(CorruptDataError, match=r"the rows (0|512) to 2048 of"):
            store_anew(two[0])
            two.manager(0).commit()
        two.abort(0)
        with pytest.raises(CorruptDataError, match="holds the rows"):
            verify(two[0], 0, two[0].rows)
    verify(two[0], 0, two[0].rows)
    store_anew(two[0])
    two.commit(0)
    two.abort(1)
    verify(two[1], 0, two[1].rows)


def test_each_checksum_is_looked_at_once_and_only_where_it_is_touched(
    two: Two, blob: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    checksum = BlobChunk.checksum
    monkeypatch.setattr(
        BlobChunk, "checksum", lambda self, block: looked.append(block) or checksum(self, block)
    )
    two[0].compact_block(1)
    assert looked == [0, 0]  # of either blob
