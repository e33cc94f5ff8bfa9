"""Data Array: rows of numbers, larger than memory, that are seen as one `numpy.ndarray`."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from pydantic import AfterValidator, Field
from ZODB.utils import u64
from zope.interface import implementer

from haywain import clock
from haywain.activity.afterwards import activate_afterwards, want_afterwards
from haywain.activity.watchers import tell_watchers
from haywain.document import NAME_LENGTH, Document, Properties
from haywain.errors import InvalidError, UnknownNameError
from haywain.interfaces import IArray
from haywain.store import extents, upkeep
from haywain.store.address_space import ACCESS
from haywain.store.array import Array
from haywain.store.assignment import assign, blocks
from haywain.store.database import read_current, tid_of
from haywain.store.detail import Detail, detail_of
from haywain.store.indexing import select
from haywain.store.lanes import lanes_of
from haywain.store.layout import fingerprint, layout_of
from haywain.store.moment import tid_at
from haywain.store.passing import passing
from haywain.store.pyramid import Pyramid, Step
from haywain.store.sorted_column import Bound, rows_between
from haywain.store.summary import tables_of
from haywain.values import MIB, Column, Tid

DETAIL_BYTES, DETAIL_ROWS = 32 * MIB, 8 * MIB
"""A change that reaches over a multiple of so many bytes, or rows, has the level of detail made anew."""


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


Columns = Annotated[tuple[dict[str, str], ...], AfterValidator(_check_columns)]
"""Type of a property that says what columns are."""


def columns_field() -> Any:  # Any: what a default of pydantic is
    """Return how such a property is told."""
    return Field(
        (),
        max_length=10_000,
        description="What its columns are, in order: name, unit and description of each.",
    )


class DataArrayProperties(Properties):
    """What a person may say about an array."""

    columns: Columns = columns_field()
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
    _pyramid: Pyramid | None = None  # of this array; not there before the first update

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
    def row_bytes(self) -> int:
        """The bytes of a row; raises InvalidError before `create`."""
        return self._created().row_bytes

    @property
    def size(self) -> int:
        """The same as `nbytes`: what the catalog has as size."""
        return self.nbytes

    @property
    def modified(self) -> float:
        """When rows or properties last changed, in seconds since 1970 UTC."""
        return max(self.edited, 0.0 if self._array is None else self._array.modified)

    @property
    def received(self) -> float:
        """When rows last came or changed, in seconds since 1970 UTC; 0 where there never were any."""
        return self._array.modified if self._array is not None and self._array.rows else 0.0

    @property
    def edition(self) -> int:
        """A number that changes when it is created anew, and stays when rows are appended."""
        return 0 if self._array is None or self._array._p_oid is None else u64(self._array._p_oid)

    @property
    def rows_tid(self) -> Tid:
        """The transaction in which a row last changed; empty before `create`, and until that is committed."""
        changes = None if self._array is None else self._array.changes
        if changes is None or changes._p_oid is None:
            return Tid("")
        changes._p_activate()
        return tid_of(changes)

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
        self._changed(0, len(self))
        self._want_compaction()  # nobody has looked at their pieces yet

    def _begin(self, rows: Array) -> None:
        """Have these rows; who writes to the old ones meanwhile conflicts, else nobody would see that."""
        if self._array is not None:
            self._array.changes.note(is_cut=True)
        self._array, self._pyramid = rows, None
        self.reindex()

    def append(self, rows: ArrayLike) -> int:
        """Add rows, or one row, at the end; return the number of the first of them.

        Raises InvalidError if they do not have the shape of a row.
        """
        first = self._created().append(rows)
        self._changed(first, len(self))
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
        found = self._created()
        assign(found, index, value)
        selection = select(index, found.shape)
        self._changed(selection.start, selection.stop)

    def view(self, start: int = 0, stop: int | None = None, access: str = "normal") -> NDArray[Any]:
        """Return `array[start:stop]`, read in a way that is known: `normal`, `random` or `sequential`.

        With `random` the system reads no rows ahead, which helps where a disk is slow.
        """
        if access not in ACCESS:
            raise UnknownNameError("access", access, ACCESS)
        low, high, _ = slice(start, stop).indices(len(self))
        return self._created().view(low, max(low, high), access=access)

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return the rows of `array[start:stop]` to be read once: they cannot be written to.

        Their memory goes with them, while that of a view stays until the transaction ends.  What this
        transaction changes later does not show in them, unless a view of the array is alive, or was in this
        transaction: then they are a part of it.
        """
        low, high, _ = slice(start, stop).indices(len(self))
        return passing(self._created(), low, max(low, high))

    def between(self, column: int | str, low: Bound = None, high: Bound = None) -> NDArray[Any]:
        """Return the rows in which low <= column < high, by a column that is sorted; a view, as of a slice.

        Few pages are read, however many rows there are.  A column of times takes times (in UTC where they
        have no zone), as NumPy, Python or ISO 8601 has them; None is no bound.  NaN and NaT, which stand at
        the end of a sorted column, are in no range.  Raises InvalidError for a column that is not there, not
        of numbers or times, or met out of order.
        """
        start, stop = self.rows_between(column, low, high)
        return self._created().view(start, stop)

    def rows_between(self, column: int | str, low: Bound = None, high: Bound = None) -> tuple[int, int]:
        """Return the numbers of these rows, from the first on and below the second; raises InvalidError.

        The pages that are looked at pass by: no view is left of them.
        """
        found = self._created()
        names = [one.name for one in self.columns]
        return rows_between(partial(passing, found), found.shape, names, column, low, high)

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:  # Any: as above
        """Return all rows, for `numpy.asarray`: a view, unless another dtype or a copy is asked for."""
        return np.array(self[:], dtype, copy=copy)

    def blocks(self, writable: bool = False) -> Iterator[NDArray[Any]]:
        """Yield all rows in views of about 64 MiB, one after the other.

        What is written to one is flushed before the next one comes, so that it takes no memory.  If they are
        not writable, they are what `read` returns.
        """
        found = self._created()
        try:
            for (start, stop), view in zip(found.row_blocks(), blocks(found, writable), strict=True):
                yield view
                if writable:
                    self._changed(start, stop)
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

    def in_pieces(self, rest_s: float) -> tuple[list[int], bool]:
        """Return the numbers of the Blocks of more than 16 extents that nobody has changed for so long.

        And whether there are others, which somebody has.
        """
        if self._array is None:
            return [], False
        before = bytes.fromhex(tid_at(clock.now_s() - rest_s))
        return upkeep.in_pieces(self._array, extents.MANY_EXTENTS, before)

    def hold(self) -> None:
        """Have this transaction conflict with a change of rows that commits before it does."""
        read_current(self)
        if self._array is not None:
            read_current(self._array.changes)

    def fingerprint(self, start: int, stop: int) -> bytes:
        """Return what stays the same as long as nothing is written to the rows [start, stop)."""
        found = self._created()
        return fingerprint(found, start * found.row_bytes, min(stop, found.rows) * found.row_bytes)

    def compact_block(self, number: int) -> None:
        """Store a Block (64 MiB at most) anew, as one extent."""
        found = self._created()
        found.flush()
        before = layout_of(found, number)
        found.compact_block(number)
        if self._pyramid is not None:
            self._pyramid.keep(found, number, before)

    def compact(self) -> int:
        """Store all fragmented Blocks anew, in this transaction; return how many there were."""
        numbers = self.fragmented()
        for number in numbers:
            self.compact_block(number)
        return len(numbers)

    # -- level of detail
    def level_of_detail(
        self,
        start: int = 0,
        stop: int | None = None,
        width: int = 1000,
        columns: Sequence[int | str] | None = None,
        most_rows: int | None = None,
    ) -> Detail:
        """Return the least, greatest and mean number in each of `width` stretches of the rows [start, stop).

        `edges` (int64, one more than stretches): stretch i has the rows [edges[i], edges[i + 1]); there are
        at most as many as rows, and where one has 512 rows or more, edges lie at multiples of 256 rows.
        `columns`: by name, in the order asked for, for all columns of numbers if none are; each has, with one
        item a stretch, `min` and `max` (of the column's dtype, exact; NaN or NaT where there is no number),
        `mean` (float64, to 1e-12 of the mean of the absolute values; times in seconds since 1970 UTC) and
        `count` (int64: how many are not NaN).

        It is what `array[:]` shows in this transaction, whether the pyramid has seen it or not; that makes
        it quick.  If `most_rows` is given and more would have to be looked at, only the first of each
        stretch are, `is_sampled` says so, and the level of detail is updated behind this transaction.
        Raises InvalidError for columns that are not there or not of numbers.
        """
        found = self._created()
        low, high, _ = slice(start, stop).indices(found.rows)
        lanes = lanes_of(found.dtype, found.row, [column.name for column in self.columns], columns)
        pyramid = Pyramid() if self._pyramid is None else self._pyramid
        detail = detail_of(found, pyramid, lanes, (low, max(low, high)), width, most_rows)
        if detail.is_sampled:
            self._ask_for_detail()
        return detail

    def update_level_of_detail(self, first: int = 0, most: int = 256 * MIB) -> Step:
        """Sum up what is new or has changed from the byte `first` on, until that is `most` bytes.

        Returns how many rows that were, and the byte to go on from, None at the end.
        """
        if self._array is None or not tables_of(self._array.dtype, self._array.row):
            return Step(0, None)
        if self._pyramid is None:
            self._pyramid = Pyramid()
        if self._pyramid._p_jar is None and self._p_jar is not None:
            self._p_jar.add(self._pyramid)
        return self._pyramid.update(self._created(), first, most)

    def forget_level_of_detail(self) -> None:
        """Begin the level of detail anew: what it knew is looked at again."""
        self._pyramid = None

    def _changed(self, start: int, stop: int) -> None:
        """Have the catalog see a change of rows; a large one, or one of many, is summed up afterwards."""
        self.reindex()
        tell_watchers(self)
        found = self._created()
        step = max(min(DETAIL_BYTES // max(found.row_bytes, 1), DETAIL_ROWS), 1)
        if start // step != stop // step and tables_of(found.dtype, found.row):
            self._ask_for_detail()

    def _ask_for_detail(self) -> None:
        activate_afterwards(self, "level_of_detail", dedupe_key="changed", priority=-50)

    def _created(self) -> Array:
        """Return the array, with a connection: its blobs begin beside those of the database."""
        if self._array is None:
            raise InvalidError(f"{self.path} has no rows yet: create it with a shape and a dtype")
        if self._array._p_jar is None and self._p_jar is not None:
            self._p_jar.add(self._array)
        self._array._v_on_pieces = self._want_compaction
        return self._array

    def _want_compaction(self) -> None:
        want_afterwards(self, "compact")


def dtype_text(dtype: np.dtype[Any]) -> str | list[Any]:  # Any: JSON
    """Return a dtype as JSON has it: `<f4`, or for a structure a list of [name, type, shape]."""
    return cast("str | list[Any]", dtype.str if dtype.names is None else dtype.descr)
