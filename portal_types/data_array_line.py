"""Data Array Line: a column, or another part, of a Data Array under a name of its own."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import AfterValidator, Field
from zope.interface import implementer

from haywain.document import Document, Properties
from haywain.errors import InvalidError
from haywain.interfaces import IArray
from haywain.portal_types.data_array import Columns, DataArray, columns_field, dtype_text
from haywain.store.derived import Part, named, nbytes_of
from haywain.store.index_text import INDEX_LENGTH, parse_items
from haywain.store.sorted_column import Bound, rows_between
from haywain.values import Column

PATH_LENGTH = 600
"""Most characters of a path."""


def check_index(text: str) -> str:
    """Return an index as a person writes it; raises ValueError."""
    try:
        parse_items(text)
    except InvalidError as error:
        raise ValueError(error.detail) from error
    return text


IndexText = Annotated[str, AfterValidator(check_index)]
"""Type of a property that is an index in NumPy's notation."""


class DataArrayLineProperties(Properties):
    """Of which array, and what of it."""

    array: str = Field("", max_length=PATH_LENGTH, description="Path of the Data Array that it is a part of.")
    index: IndexText = Field(
        "",
        max_length=INDEX_LENGTH,
        examples=[":, 0"],
        description="Which part, in NumPy's notation: :, 0 is the first column, now and as rows come.",
    )
    field: str = Field("", max_length=255, description="Which field, of an array of structures.")
    columns: Columns = columns_field()


@implementer(IArray)
class DataArrayLine(Document):
    """A part of a Data Array, told by an index: it holds no rows, and shows those that the array has now.

    `line[:]` is the same memory as `array[:]`, and what is written to it is stored by the next commit.
    """

    portal_type = "Data Array Line"
    module_id = "data_array_line_module"
    schema = DataArrayLineProperties
    icon = "array"

    @property
    def properties(self) -> DataArrayLineProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataArrayLineProperties)
        return found

    @property
    def part(self) -> Part:
        """The rows that it shows; raises InvalidError where there are none."""
        given = self.properties
        array = document_at(self, given.array)
        if not isinstance(array, DataArray):
            raise InvalidError(f"There is no Data Array at {given.array!r}, of which {self.path} is a part")
        return Part.of(array, given.index, given.field)

    @property
    def is_created(self) -> bool:
        """Whether its array is there, was created, and has that part."""
        return is_there(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis; raises InvalidError where there is no such part."""
        return self.part.shape

    @property
    def dtype(self) -> np.dtype[Any]:  # Any: any scalar type
        """The type of each item; raises InvalidError where there is no such part."""
        return self.part.dtype

    @property
    def nbytes(self) -> int:
        """The bytes of its rows, which the array has; 0 where there is no such part."""
        return nbytes_of(self.part) if self.is_created else 0

    @property
    def row_bytes(self) -> int:
        """The bytes of its array read for each row; raises InvalidError where there is no such part."""
        return self.part.row_bytes

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name, unit and description of each column: its own, else those of the array."""
        own = tuple(Column(**column) for column in self.properties.columns)
        return named(self.part.columns, own) if self.is_created else own

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it; shape and dtype are null where there is no such part."""
        return super().as_dict() | shown(self)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0] if self.shape else 0

    def __bool__(self) -> bool:
        """Return True: a document is there, however many rows it has."""
        return True

    def __getitem__(self, index: Any) -> Any:  # Any: as numpy.ndarray has it
        """Return what NumPy returns for the index: for slices, the memory of the array."""
        return self.part[index]

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:  # Any: as above
        """Return all rows, for `numpy.asarray`."""
        return np.array(self[...], dtype, copy=copy)

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows to be read once, as a Data Array does; raises InvalidError."""
        return read_of(self, start, stop)

    def between(self, column: int | str, low: Bound = None, high: Bound = None) -> NDArray[Any]:
        """Return the rows in which low <= column < high, as a Data Array does; raises InvalidError."""
        return np.asarray(self[slice(*self.rows_between(column, low, high))])

    def rows_between(self, column: int | str, low: Bound = None, high: Bound = None) -> tuple[int, int]:
        """Return the numbers of these rows, from the first on and below the second; raises InvalidError."""
        return rows_of(self, column, low, high)


def document_at(document: Document, path: str) -> Document | None:
    """Return another document of the same portal, None if there is none."""
    module = document.__parent__
    root = module.__parent__ if module is not None else None
    name, _, id = path.strip("/").partition("/")
    if root is None or name not in root.modules:
        return None
    found: Document | None = root[name].documents.get(id)
    return found


def is_there(document: Any) -> bool:  # Any: a Data Array Line or View
    """Return whether a document has rows to show."""
    try:
        return isinstance(document.dtype, np.dtype)
    except InvalidError:
        return False


def shown(document: Any) -> dict[str, Any]:  # Any: as above, and JSON
    """Return what JSON says of rows that a document shows."""
    is_created = document.is_created
    return {
        "shape": list(document.shape) if is_created else None,
        "dtype": dtype_text(document.dtype) if is_created else None,
        "nbytes": document.nbytes,
    }


def rows_of(document: Any, column: int | str, low: Bound, high: Bound) -> tuple[int, int]:  # Any: as above
    """Return the rows of a document between two values of a sorted column; raises InvalidError."""
    rows = _with_rows(document)
    names = [one.name for one in document.columns]
    return rows_between(rows.read, rows.shape, names, column, low, high)


def read_of(document: Any, start: int, stop: int | None) -> NDArray[Any]:  # Any: as above
    """Return the rows of `document[start:stop]` to be read once; raises InvalidError."""
    rows = _with_rows(document)
    low, high, _ = slice(start, stop).indices(rows.shape[0])
    return rows.read(low, max(low, high))


def _with_rows(document: Any) -> Part:  # Any: as above
    rows: Part = document.part
    if not rows.shape:
        raise InvalidError(f"{document.path} is a single value, and has no rows")
    return rows
