"""Data Analysis Line: what a Data Analysis reads, with how far it is, or what it makes."""

from typing import Literal

from pydantic import Field

from haywain.document import Document, PortalRoot, Properties
from haywain.errors import InvalidError
from haywain.portal_types._linked import check_links, connect_links
from haywain.portal_types._offering import offer, withdraw

_KINDS = {
    "analysis": ("Data Analysis",),
    "resource": ("Data Product",),
    "document": (),
    "indicator": ("Progress Indicator",),
}


class DataAnalysisLineProperties(Properties):
    """Of which Data Analysis, and what."""

    analysis: str = Field("", max_length=600, description="Path of the Data Analysis that it is a line of.")
    direction: Literal["in", "out"] = Field("in", description="Whether it is read or made.")
    resource: str = Field("", max_length=600, description="Path of the Data Product.")
    use: Literal["analysis", "transient"] = Field("analysis", description="Whether it is stored.")
    document: str = Field("", max_length=600, description="Path of what is read or made.")
    indicator: str = Field(
        "", max_length=600, description="Path of the Progress Indicator: how far it is read."
    )


class DataAnalysisLine(Document):
    """One input or output of a Data Analysis.  What is made is delivered to further Data Transformations."""

    portal_type = "Data Analysis Line"
    module_id = "data_analysis_line_module"
    schema = DataAnalysisLineProperties
    is_addable = False
    is_editable = False
    in_navigation = in_search = False
    icon = "progress"

    @property
    def properties(self) -> DataAnalysisLineProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataAnalysisLineProperties)
        return found

    def after_add(self, root: PortalRoot) -> None:
        """Be known to its Data Analysis, and who takes what it makes told of it; raises InvalidError."""
        check_links(self, self.properties, _KINDS)
        connect_links(self, _KINDS, "analysis")
        if self.properties.direction == "out":
            offer(self, root)

    def before_change(self, properties: Properties) -> None:
        """Refuse to read or make something else: it runs with the rights of another; raises InvalidError."""
        if getattr(self._p_jar, "portal", None) is not None:
            fixed = {name: getattr(self.properties, name) for name in (*_KINDS, "direction", "use")}
            if any(getattr(properties, name) != value for name, value in fixed.items()):
                raise InvalidError("What a Data Analysis reads and makes stays as it is")

    def before_remove(self) -> None:
        """Deliver nothing any more."""
        withdraw(self)
