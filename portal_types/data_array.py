"""Data Array: rows of numbers, larger than memory, that are seen as one `numpy.ndarray`."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from pydantic import AfterValidator, Field
from zope.interface import implementer

from haywain.document import NAME_LENGTH, Document, Properties
from haywain.errors import InvalidError, UnknownNameError
from haywain.interfaces import IArray
from haywain.store import upkeep
from haywain.store.address_space import ACCESS
from haywain.store.array import Array
from haywain.store.assignment import assign
from haywain.store.indexing import select
from haywain.values import Column


def _check_columns(columns: tuple[dict[str, str], ...]) -> tuple[dict[str, str], ...]:
    """Return columns with all their keys; raises ValueError."""
    for column in columns:
        if unknown := sorted(set(column) - set(Column._fields)):
            raise ValueError(f"a column has name, unit and description, not {unknown[0][:100]!r}")
        if not column.get("name", "").strip():
            raise ValueError("each column has a name")
        if any(len(value) > NAME_LENGTH for value in column.values()):
            raise ValueError(f"a column's texts have at most {NAME_LENGTH} characters")
    names = [column["name"] for column in columns]
    if len(set(names)) < len(names):
        raise ValueError("no two columns have one name")
    return tuple(Column(**column)._asdict() for column in columns)


class DataArrayProperties(Properties):
    """What a person may say about an array."""

    columns: Annotated[tuple[dict[str, str], ...], AfterValidator(_check_columns)] = Field(
        (),
        max_length=10_000,
        description="What its columns are, in order: name, unit and description of each.",
    )
    rate_hz: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Rows a second, where they come evenly; 0 where not."
    )


@implementer(IArray)
class DataArray(Document):
    """Rows of one dtype that grow along the first axis.

    Its own record changes only when its properties do, or when it is created anew; the bytes lie in an Array
    beside it.  Rows, starts and stops count rows.  `array[:]` is a `numpy.ndarray` on the stored bytes: paged
    in as it is read, and what is written to it is stored by the next commit (see docs/data-arrays.md).
    """

    portal_type = "Data Array"
    module_id = "data_array_module"
    schema = DataArrayProperties
    icon = "array"

    _array: Array | None = None

    @property
    def properties(self) -> DataArrayProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataArrayProperties)
        return found

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name, unit and description of each column."""
        return tuple(Column(**column) for column in self.properties.columns)

    # -- what it is
    @property
    def is_created(self) -> bool:
        """Whether it has a shape and a dtype."""
        return self._array is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension, the first of which grows; raises InvalidError before `create`."""
        return self._created().shape

    @property
    def dtype(self) -> np.dtype[Any]:  # Any: any scalar type
        """The type of each item; raises InvalidError before `create`."""
        return self._created().dtype

    @property
    def nbytes(self) -> int:
        """The bytes of all rows, zeros included that take no room; 0 before `create`."""
        return 0 if self._array is None else self._array.nbytes

    @property
    def size(self) -> int:
        """The same: what the catalog has as size."""
        return self.nbytes

    @property
    def modified(self) -> float:
        """When rows or properties last changed, in seconds since 1970 UTC."""
        return max(self.edited, 0.0 if self._array is None else self._array.modified)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._created().rows

    def __bool__(self) -> bool:
        """Return True: a document is there, however many rows it has."""
        return True

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it; shape and dtype are null before `create`."""
        found = self._array
        return super().as_dict() | {
            "shape": None if found is None else list(found.shape),
            "dtype": None if found is None else dtype_text(found.dtype),
            "nbytes": self.nbytes,
        }

    # -- content
    def create(self, shape: int | Sequence[int], dtype: DTypeLike) -> None:
        """Begin anew with zeros, which take no room: the first length may be 0, and grows.

        Who has a view of rows that were there before keeps it.  Raises InvalidError for a shape that makes
        no sense, and for dtypes without a fixed size.
        """
        self._begin(Array(shape, dtype))
        if self._p_jar is not None:
            self._p_jar.add(self._array)

    def adopt(self, rows: Array) -> None:
        """Have these rows, which were filled elsewhere, for its own.

        Readers see the old ones or these, whole.  Who has a view of the old ones keeps it.
        """
        self._begin(rows)

    def _begin(self, rows: Array) -> None:
        """Have these rows; who writes to the old ones meanwhile conflicts, else nobody would see that."""
        if self._array is not None:
            self._array.changes.note(is_cut=True)
        self._array = rows
        self.reindex()

    def append(self, rows: ArrayLike) -> int:
        """Add rows, or one row, at the end; return the number of the first of them.

        Raises InvalidError if they do not have the shape of a row.
        """
        first = self._created().append(rows)
        self.reindex()
        return first

    def resize(self, rows: int) -> None:
        """Grow by rows of zeros, which take no room, or forget those behind the first `rows`."""
        self._created().resize(rows)
        self.reindex()

    def __getitem__(self, index: Any) -> Any:  # Any: as numpy.ndarray has it
        """Return what NumPy returns for the index: a view for slices, a copy for masks and lists."""
        found = self._created()
        selection = select(index, found.shape)
        return found.view(selection.start, selection.stop)[selection.index]

    def __setitem__(self, index: Any, value: Any) -> None:  # Any: as above
        """Assign as NumPy does; whole rows go into blobs at once, at most 16 MiB at a time."""
        assign(self._created(), index, value)
        self.reindex()

    def view(self, start: int = 0, stop: int | None = None, access: str = "normal") -> NDArray[Any]:
        """Return `array[start:stop]`, read in a way that is known: `normal`, `random` or `sequential`.

        With `random` the system reads no rows ahead, which helps where a disk is slow.
        """
        if access not in ACCESS:
            raise UnknownNameError("access", access, ACCESS)
        low, high, _ = slice(start, stop).indices(len(self))
        return self._created().view(low, max(low, high), access=access)

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:  # Any: as above
        """Return all rows, for `numpy.asarray`: a view, unless another dtype or a copy is asked for."""
        return np.array(self[:], dtype, copy=copy)

    def blocks(self, writable: bool = False) -> Iterator[NDArray[Any]]:
        """Yield all rows in views of about 64 MiB, one after the other.

        What is written to one is flushed before the next one comes, so that it takes no memory.
        """
        found = self._created()
        try:
            for start, stop in found.row_blocks():
                yield found.view(start, stop, writable)
                if writable:
                    found.flush()
        finally:
            if writable:
                self.reindex()

    def flush(self) -> bool:
        """Write what was changed through views into a blob of this transaction; return whether there was any.

        It frees their memory, and keeps nothing: only a commit does.
        """
        return self._created().flush()

    # -- care
    def verify(self, start: int = 0, stop: int | None = None) -> None:
        """Check the rows [start, stop) against their checksums; raises CorruptDataError, which names rows."""
        found = self._created()
        stop = found.rows if stop is None else min(stop, found.rows)
        upkeep.verify(found, min(max(start, 0), stop), stop)

    def fragmented(self) -> list[int]:
        """Return the numbers of the Blocks that `compact_block` would make better."""
        return [] if self._array is None else upkeep.fragmented(self._array)

    def compact_block(self, number: int) -> None:
        """Store a Block (64 MiB at most) anew, as one extent."""
        self._created().compact_block(number)

    def compact(self) -> int:
        """Store all fragmented Blocks anew, in this transaction; return how many there were."""
        numbers = self.fragmented()
        for number in numbers:
            self.compact_block(number)
        return len(numbers)

    def _created(self) -> Array:
        """Return the array, with a connection: its blobs begin beside those of the database."""
        if self._array is None:
            raise InvalidError(f"{self.path} has no rows yet: create it with a shape and a dtype")
        if self._array._p_jar is None and self._p_jar is not None:
            self._p_jar.add(self._array)
        return self._array


def dtype_text(dtype: np.dtype[Any]) -> str | list[Any]:  # Any: JSON
    """Return a dtype as JSON has it: `<f4`, or for a structure a list of [name, type, shape]."""
    return cast("str | list[Any]", dtype.str if dtype.names is None else dtype.descr)
