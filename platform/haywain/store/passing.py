"""Passing by: rows that are read once, in memory that goes with them.

The pages of a view stay with the process as long as the transaction does, so that what reads many gigabytes
seems to take them, though the system may have them back.  Rows that pass by are mapped for themselves.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haywain.store import pagemap
from haywain.store.mapping import Mapping
from haywain.store.views import views_of

if TYPE_CHECKING:
    from haywain.store.array import Array


def passing(array: "Array", start: int, stop: int) -> NDArray[Any]:
    """Return the rows [start, stop) as they are now, which cannot be written to.

    What this transaction does later does not show in them.  Where views of the array are alive they are a
    part of those.  Raises what `Array.view` raises.
    """
    if pagemap.METHOD == "none" or views_of(array).has(array):
        return array.view(start, stop, writable=False, access="sequential")
    low, high = start * array.row_bytes, stop * array.row_bytes
    mapping = Mapping(array)
    mapping.place(low, high)
    mapping.advise(low, high, "sequential")
    mapping.array = mapping.connection = None  # the rows may outlive it
    return np.ndarray((stop - start, *array.row), array.dtype, mapping.window(low, high, writable=False))
