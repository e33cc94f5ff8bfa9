"""Passing by: rows that are read once, in memory that goes with them.

The pages of a view stay with the process as long as the transaction does, so that what reads many gigabytes
seems to take them, though the system may have them back.  Rows that pass by are mapped for themselves.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haywain.store import extents, pagemap
from haywain.store.layout import blocks_of, layouts_of
from haywain.store.mapping import Mapping, count_pieces
from haywain.store.record_chunk import keeps_blobs
from haywain.store.views import views_of

if TYPE_CHECKING:
    from haywain.store.array import Array

MOST_PIECES = 16
"""Rows of a part of a Block in more pieces are copied."""


def passing(array: "Array", start: int, stop: int) -> NDArray[Any]:
    """Return the rows [start, stop) as they are now, which cannot be written to.

    What this transaction does later does not show in them.  Where views of the array are alive they are a
    part of those.  Raises what `Array.view` raises.
    """
    if pagemap.METHOD == "none" or views_of(array).has(array):
        return array.view(start, stop, writable=False, access="sequential")
    low, high = start * array.row_bytes, stop * array.row_bytes
    if high - low < extents.BLOCK_SIZE and _are_in_pieces(array, low, high):
        rows = array.copy(start, stop)
        rows.flags.writeable = False
        return rows
    mapping = Mapping(array)
    mapping.place(low, high)
    mapping.advise(low, high, "sequential")
    mapping.array = mapping.connection = None  # the rows may outlive it
    return np.ndarray((stop - start, *array.row), array.dtype, mapping.window(low, high, writable=False))


def _are_in_pieces(array: "Array", low: int, high: int) -> bool:
    """Return whether to map whole Blocks would be much work for so few bytes of them."""
    numbers = blocks_of(low, high)
    layouts = layouts_of(array, numbers.start, numbers.stop)
    return not keeps_blobs(array._p_jar) or sum(map(count_pieces, layouts.values())) > MOST_PIECES
