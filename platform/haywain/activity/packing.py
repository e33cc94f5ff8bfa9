"""Packing: Python objects, functions and closures among them, as Parcels, and Parcels as objects.

The one module that unpickles what may be code: see docs/decisions/0024.  It needs the extra `science`, so it
is imported where it is used.
"""

import io
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import NDArray
from transaction.interfaces import TransientError
from xxhash import xxh3_128_hexdigest
from ZODB.Connection import Connection

from haywain.activity.parcel import Arrays, Packed, Parcel
from haywain.errors import DatabaseServerError
from haywain.store.passing import passing
from haywain.store.rows import flat
from haywain.values import MIB

LARGE_BYTES = MIB
"""Arrays of so many bytes and more lie beside the pickle."""

_Named = tuple[str, np.dtype[Any], tuple[int, ...], str]
"""How a pickle names an array: hash of its bytes, dtype (Any: of whatever type), shape, order (C or F)."""


class BatchError(Exception):
    """A batch ended without a result: it says why."""


class RemoteTraceback(Exception):
    """The cause of an error that was raised in a Worker: its traceback there."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickles by value what no other process can import, and leaves large arrays out."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.arrays = dict[str, NDArray[Any]]()

    def persistent_id(self, obj: object) -> _Named | None:
        if not isinstance(obj, np.ndarray) or type(obj) not in (np.ndarray, np.memmap):
            return None
        if obj.nbytes < LARGE_BYTES or obj.dtype.hasobject:
            return None
        order = "F" if obj.flags.f_contiguous and not obj.flags.c_contiguous else "C"
        data = np.ascontiguousarray(obj.T if order == "F" else obj)
        digest = xxh3_128_hexdigest(flat(data))
        self.arrays[digest] = data
        return (digest, obj.dtype, obj.shape, order)


class _Unpacker(pickle.Unpickler):
    """Loads what was packed, with the arrays that it names."""

    def __init__(self, data: bytes, find: Callable[[str], NDArray[np.uint8]]) -> None:
        super().__init__(io.BytesIO(data))
        self._find = find

    def persistent_load(self, named: _Named) -> NDArray[Any]:
        digest, dtype, shape, order = named
        return np.ndarray(shape, dtype, flat(self._find(digest)), order="F" if order == "F" else "C")


def pack(what: object) -> Packed:
    """Return an object as a pickle and the large arrays in it; raises what pickling it raises."""
    file = io.BytesIO()
    packer = _Packer(file)
    packer.dump(what)
    return Packed(file.getvalue(), packer.arrays)


def unpack_mapped(parcel: Parcel, shared: Arrays) -> Any:  # Any: whatever was packed
    """Return what was packed; its large arrays are mapped, and cannot be written to."""
    return _Unpacker(parcel.load(), lambda name: passing(shared[name], 0, shared[name].rows)).load()


def unpack_copied(parcel: Parcel) -> Any:  # Any: as above
    """Return what was packed, independent of the database."""
    arrays = parcel.arrays
    return _Unpacker(parcel.load(), lambda name: arrays[name].copy(0, arrays[name].rows)).load()


def run(connection: Connection, task: Parcel, shared: Arrays) -> Parcel:
    """Call what a task holds, and return a Parcel for `outcome_of`: what it returned, or its error."""
    try:
        found = pack((unpack_mapped(task, shared)(), None, ""))
    except (TransientError, DatabaseServerError):  # of the database: the runner tries again
        raise
    except Exception as error:  # of code that may be anybody's
        found = pack((None, _portable(error), traceback.format_exc()))
    return Parcel(connection, found)


def outcome_of(parcel: Parcel) -> Any:  # Any: whatever was returned
    """Return what a task returned, or raise its error; the cause of that is the traceback in the Worker."""
    result, error, trace = unpack_copied(parcel)
    if error is not None:
        raise error from RemoteTraceback(trace)
    return result


def _portable(error: Exception) -> Exception:
    """Return an error as it can be sent; some cannot be pickled, or not be made again from their pickle."""
    try:
        again = pickle.loads(cloudpickle.dumps(error))  # noqa: S301  # what was just pickled
    except Exception:  # what pickling raises is anybody's too
        again = None
    return error if type(again) is type(error) else BatchError(f"{type(error).__name__}: {error}")
