"""Data Array View: Data Arrays and their lines side by side, or a part of one, under one name."""

from pydantic import Field
from zope.interface import implementer

from haywain.document import NAME_LENGTH, Properties
from haywain.errors import InvalidError
from haywain.interfaces import IArray
from haywain.portal_types._shown_rows import ShownRows
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.data_array_line import DataArrayLine, IndexText
from haywain.store.derived import Part, Rows, SideBySide
from haywain.store.index_text import INDEX_LENGTH


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
class DataArrayView(ShownRows):
    """An index saved as a document: a part of one array, or of several side by side, row by row.

    It holds no rows.  Of one source it shows the memory itself; of several, structures with a field for each
    column, as many as the shortest has, as copies that cannot be written, at most 256 MiB at a time.
    """

    portal_type = "Data Array View"
    module_id = "data_array_view_module"
    schema = DataArrayViewProperties

    @property
    def properties(self) -> DataArrayViewProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataArrayViewProperties)
        return found

    @property
    def made_of(self) -> tuple[str, ...]:
        """The paths of its sources."""
        return self.properties.sources

    @property
    def part(self) -> Part:
        """The rows that it shows; raises InvalidError where there are none."""
        given = self.properties
        if not given.sources:
            raise InvalidError(f"{self.path} has no sources yet")
        found = tuple(self._source(path) for path in given.sources)
        return Part.of(found[0][1] if len(found) == 1 else SideBySide(found), given.index, given.field)

    def _source(self, path: str) -> tuple[str, Rows]:
        document = self._at(path)
        if not isinstance(document, DataArray | DataArrayLine):
            raise InvalidError(f"There is no Data Array or Data Array Line at {path[:100]!r}")
        return document.reference or document.id, document
