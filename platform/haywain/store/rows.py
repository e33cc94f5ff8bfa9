"""What an array may consist of: dtypes of fixed size and shapes that make sense."""

import ast
import operator
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.lib.format import descr_to_dtype, dtype_to_descr
from numpy.typing import DTypeLike, NDArray

from haywain.errors import InvalidError

MOST_BYTES = 1 << 45
"""Most bytes of an array: a view of it, twice, must fit into the addresses of a process."""

MOST_DIMENSIONS = 32


def check_dtype(dtype: DTypeLike) -> np.dtype[Any]:  # Any: any scalar type
    """Return a dtype that can be stored; raises InvalidError.

    >>> check_dtype([("time", "datetime64[us]"), ("level", "f4")]).itemsize
    12
    """
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:
        raise InvalidError(f"{str(dtype)[:100]!r} is no dtype: {error}") from error
    if found.hasobject:
        raise InvalidError(
            f"The dtype {found} holds Python objects, which have no fixed size: choose numbers, fixed-length "
            "strings such as 'U20', datetime64, or a structure of these"
        )
    if found.itemsize == 0 or found.subdtype is not None:
        raise InvalidError(
            f"The dtype {found} has no bytes of its own: give it a length, such as 'S8' or 'U20'"
        )
    _check_parts(found)
    try:
        if parse(describe(found)) == found:
            return found
    except (TypeError, ValueError) as error:
        raise InvalidError(f"The dtype {found} cannot be stored: {error}") from error
    raise InvalidError(f"The dtype {found} cannot be stored: it would come back as another one")


def _check_parts(dtype: np.dtype[Any]) -> None:  # Any: as above
    """Raise InvalidError for a field without bytes, and for times that do not say their unit."""
    for name in dtype.names or ():
        if dtype[name].itemsize == 0:
            raise InvalidError(f"The field {name!r} has no bytes: give it a length, such as 'S8' or 'U20'")
        _check_parts(dtype[name].base)
    if dtype.kind in "mM" and np.datetime_data(dtype)[0] == "generic":
        raise InvalidError(f"The dtype {dtype} does not say its unit: write {dtype.kind}8[us], for example")


def describe(dtype: np.dtype[Any]) -> str:  # Any: as above
    """Return a dtype as the text that the .npy format has for it.

    >>> describe(np.dtype("datetime64[ms]")), describe(np.dtype([("a", "<i2"), ("b", "<f8", (2,))]))
    ("'<M8[ms]'", "[('a', '<i2'), ('b', '<f8', (2,))]")
    """
    return repr(dtype_to_descr(dtype))


def parse(description: str) -> np.dtype[Any]:  # Any: as above
    """Return the dtype of a description."""
    return descr_to_dtype(ast.literal_eval(description))


def check_shape(shape: int | Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Return a shape of at least one dimension; raises InvalidError."""
    try:
        found = (
            (operator.index(shape),) if not isinstance(shape, Sequence) else tuple(map(operator.index, shape))
        )
    except TypeError as error:
        raise InvalidError(f"A shape is a tuple of whole numbers, not {str(shape)[:100]}") from error
    if not 1 <= len(found) <= MOST_DIMENSIONS:
        raise InvalidError(f"A shape has 1 to {MOST_DIMENSIONS} dimensions, not {len(found)}: {found[:40]}")
    if min(found) < 0:
        raise InvalidError(f"The shape {found} makes no sense: no length is negative")
    check_bytes(found, itemsize)
    return found


def check_bytes(shape: tuple[int, ...], itemsize: int) -> None:
    """Raise InvalidError if an array of this shape would be too large, or if it were with 1 for each 0."""
    total = itemsize
    for length in shape:
        total *= max(length, 1)
    if total > MOST_BYTES:
        raise InvalidError(f"The shape {shape} needs {total} bytes; an array has at most {MOST_BYTES}")


def flat(rows: NDArray[Any]) -> memoryview:
    """Return the bytes of a contiguous array, not copied."""
    return memoryview(cast(Any, rows.reshape(-1).view(np.uint8)))  # mypy does not know it is a buffer
