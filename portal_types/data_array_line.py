"""Data Array Line: a column, or another part, of a Data Array under a name of its own."""

from typing import Annotated

from pydantic import AfterValidator, Field
from zope.interface import implementer

from haywain.document import Properties
from haywain.errors import InvalidError
from haywain.interfaces import IArray
from haywain.portal_types._shown_rows import ShownRows
from haywain.portal_types.data_array import Columns, DataArray, columns_field
from haywain.store.derived import Part, named
from haywain.store.index_text import INDEX_LENGTH, parse_items
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
class DataArrayLine(ShownRows):
    """A part of a Data Array, told by an index: it holds no rows, and shows those that the array has now.

    `line[:]` is the same memory as `array[:]`, and what is written to it is stored by the next commit.
    """

    portal_type = "Data Array Line"
    module_id = "data_array_line_module"
    schema = DataArrayLineProperties

    @property
    def properties(self) -> DataArrayLineProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataArrayLineProperties)
        return found

    @property
    def made_of(self) -> tuple[str, ...]:
        """The path of its array."""
        return (self.properties.array,) if self.properties.array else ()

    @property
    def part(self) -> Part:
        """The rows that it shows; raises InvalidError where there are none."""
        given = self.properties
        array = self._at(given.array)
        if not isinstance(array, DataArray):
            raise InvalidError(f"There is no Data Array at {given.array!r}, of which {self.path} is a part")
        return Part.of(array, given.index, given.field)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name, unit and description of each column: its own, else those of the array."""
        own = tuple(Column(**column) for column in self.properties.columns)
        return named(self.part.columns, own) if self.is_created else own
