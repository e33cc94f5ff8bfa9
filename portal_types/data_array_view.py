"""Data Array View: Data Arrays and their lines side by side, or a part of one, under one name."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import Field
from zope.interface import implementer

from haywain.document import NAME_LENGTH, Document, Properties
from haywain.errors import InvalidError
from haywain.interfaces import IArray
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.data_array_line import (
    DataArrayLine,
    IndexText,
    document_at,
    is_there,
    read_of,
    rows_of,
    shown,
)
from haywain.store.derived import Part, Rows, SideBySide, nbytes_of
from haywain.store.index_text import INDEX_LENGTH
from haywain.store.sorted_column import Bound
from haywain.values import Column


class DataArrayViewProperties(Properties):
    """What stands side by side, and which part of that."""

    sources: tuple[str, ...] = Field(
        (), max_length=100, description="Paths of Data Arrays and Data Array Lines, which stand side by side."
    )
    index: IndexText = Field(
        "",
        max_length=INDEX_LENGTH,
        examples=["1000:2000"],
        description="Which part of that, in NumPy's notation; all if it is empty.",
    )
    field: str = Field("", max_length=NAME_LENGTH, description="Which field of that, if only one.")


@implementer(IArray)
class DataArrayView(Document):
    """An index saved as a document: a part of one array, or of several side by side, row by row.

    It holds no rows.  Of one source it shows the memory itself; of several, structures with a field for each
    column, as many as the shortest has, as copies that cannot be written, at most 256 MiB at a time.
    """

    portal_type = "Data Array View"
    module_id = "data_array_view_module"
    schema = DataArrayViewProperties
    icon = "array"

    @property
    def properties(self) -> DataArrayViewProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataArrayViewProperties)
        return found

    @property
    def part(self) -> Part:
        """The rows that it shows; raises InvalidError where there are none."""
        given = self.properties
        if not given.sources:
            raise InvalidError(f"{self.path} has no sources yet")
        found = tuple(self._source(path) for path in given.sources)
        return Part.of(found[0][1] if len(found) == 1 else SideBySide(found), given.index, given.field)

    def _source(self, path: str) -> tuple[str, Rows]:
        document = document_at(self, path)
        if not isinstance(document, DataArray | DataArrayLine):
            raise InvalidError(f"There is no Data Array or Data Array Line at {path[:100]!r}")
        return document.reference or document.id, document

    @property
    def is_created(self) -> bool:
        """Whether its sources are there, were created, and have that part."""
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
        """The bytes of its rows as they are shown; 0 where there is no such part."""
        return nbytes_of(self.part) if self.is_created else 0

    @property
    def row_bytes(self) -> int:
        """The bytes of its sources read for each row; raises InvalidError where there is no such part."""
        return self.part.row_bytes

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name, unit and description of each column, as the sources have them."""
        return self.part.columns if self.is_created else ()

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
        """Return what NumPy returns for the index; raises InvalidError for a copy that is too large."""
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
