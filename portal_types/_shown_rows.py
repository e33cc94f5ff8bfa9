"""Rows that are those of other documents: what a Data Array Line and a Data Array View have in common."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import dtype_text
from haywain.store.derived import Part, nbytes_of
from haywain.store.sorted_column import Bound, rows_between
from haywain.values import Column


class ShownRows(Document):
    """A document that holds no rows, and shows its `part`: rows that others have now."""

    icon = "array"

    @property
    def part(self) -> Part:
        """The rows that it shows; raises InvalidError where there are none."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it shows")

    @property
    def made_of(self) -> tuple[str, ...]:
        """The paths of the documents whose rows it shows."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it is made of")

    @property
    def lacking(self) -> str:
        """Why there are no rows to show; "" if there are."""
        try:
            _ = self.dtype
        except InvalidError as error:
            return error.detail
        return ""

    @property
    def is_created(self) -> bool:
        """Whether what it is made of is there, was created, and has that part."""
        return not self.lacking

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
        """Name, unit and description of each column, as its sources have them."""
        return self.part.columns if self.is_created else ()

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it; shape and dtype are null where there is no such part."""
        is_created = self.is_created
        return super().as_dict() | {
            "shape": list(self.shape) if is_created else None,
            "dtype": dtype_text(self.dtype) if is_created else None,
            "nbytes": self.nbytes,
        }

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0] if self.shape else 0

    def __bool__(self) -> bool:
        """Return True: a document is there, however many rows it has."""
        return True

    def __getitem__(self, index: Any) -> Any:  # Any: as numpy.ndarray has it
        """Return what NumPy returns for the index: for slices of one source, its memory.

        Raises InvalidError for a copy that is too large.
        """
        return self.part[index]

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:  # Any: as above
        """Return all rows, for `numpy.asarray`."""
        return np.array(self[...], dtype, copy=copy)

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows to be read once, as a Data Array does; raises InvalidError."""
        rows = self._with_rows()
        low, high, _ = slice(start, stop).indices(rows.shape[0])
        return rows.read(low, max(low, high))

    def between(self, column: int | str, low: Bound = None, high: Bound = None) -> NDArray[Any]:
        """Return the rows in which low <= column < high, as a Data Array does; raises InvalidError."""
        return np.asarray(self[slice(*self.rows_between(column, low, high))])

    def rows_between(self, column: int | str, low: Bound = None, high: Bound = None) -> tuple[int, int]:
        """Return the numbers of these rows, from the first on and below the second; raises InvalidError."""
        rows, names = self._with_rows(), [one.name for one in self.columns]
        return rows_between(rows.read, rows.shape, names, column, low, high)

    def _with_rows(self) -> Part:
        rows = self.part
        if not rows.shape:
            raise InvalidError(f"{self.path} is a single value, and has no rows")
        return rows

    def _at(self, path: str) -> Document | None:
        """Return another document of the same portal, None if there is none."""
        module = self.__parent__
        root = module.__parent__ if module is not None else None
        name, _, id = path.strip("/").partition("/")
        if root is None or name not in root.modules:
            return None
        found: Document | None = root[name].documents.get(id)
        return found
