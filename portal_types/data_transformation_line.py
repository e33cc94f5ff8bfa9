"""Data Transformation Line: a product that a Data Transformation takes or makes."""

from typing import Any, Literal

from pydantic import Field

from haywain.document import Document, PortalRoot, Properties
from haywain.errors import NotFoundError
from haywain.portal_types._linked import check_links, connect_links

_KINDS = {"transformation": ("Data Transformation",), "resource": ("Data Product",)}


class DataTransformationLineProperties(Properties):
    """Of which Data Transformation, and what."""

    transformation: str = Field(
        "", max_length=600, description="Path of the Data Transformation it is a line of."
    )
    direction: Literal["in", "out"] = Field("in", description="Whether the product is taken or made.")
    resource: str = Field("", max_length=600, description="Path of the Data Product.")
    use: Literal["analysis", "transient"] = Field(
        "analysis", description="Of what is made: kept in a document, or handed on in memory and not stored."
    )
    sink_portal_type: str = Field(
        "Data Array", max_length=255, description="Of what is made: the kind of document that it goes into."
    )


class DataTransformationLine(Document):
    """The pattern of a line of each Data Analysis.

    The first line that takes something is what the operation is done to.  The reference of a further one is
    the name of a parameter of the kind of work, which is given the path of what is delivered.
    """

    portal_type = "Data Transformation Line"
    module_id = "data_transformation_line_module"
    schema = DataTransformationLineProperties
    in_navigation = in_search = False
    icon = "activity"

    @property
    def properties(self) -> DataTransformationLineProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataTransformationLineProperties)
        return found

    def before_change(self, properties: Properties) -> None:
        """Refuse paths at which there is no such document, and changes of what works; raises InvalidError."""
        check_links(self, properties, _KINDS)
        self._check_changeable(self.properties)
        self._check_changeable(properties)

    def after_add(self, root: PortalRoot) -> None:
        """Be known to its Data Transformation; raises InvalidError."""
        check_links(self, self.properties, _KINDS)
        self._check_changeable(self.properties)
        connect_links(self, _KINDS, "transformation")

    def edit(self, /, **changes: object) -> None:
        """Change properties; raises InvalidError, and then nothing is changed."""
        super().edit(**changes)
        connect_links(self, _KINDS, "transformation")

    def before_transition(self, name: str) -> None:
        """Refuse a change of what works; raises InvalidError."""
        self._check_changeable(self.properties)

    def before_remove(self) -> None:
        """Refuse a change of what works; raises InvalidError."""
        self._check_changeable(self.properties)

    def _check_changeable(self, properties: Properties) -> None:
        portal = getattr(self._p_jar, "portal", None)
        path = getattr(properties, "transformation", "")
        if portal is None or not path:
            return
        try:
            transformation: Any = portal[path]  # Any: a Data Transformation, whose module needs this one
        except NotFoundError:
            return
        transformation.check_changeable()
