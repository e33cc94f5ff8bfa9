"""Data Ingestion Line: one product of a Data Ingestion with its sink, or its operation."""

from pydantic import Field

from haywain.document import Document, PortalRoot, Properties
from haywain.portal_types._linked import check_links, connect_links
from haywain.portal_types._offering import offer, withdraw

_KINDS = {"ingestion": ("Data Ingestion",), "resource": ("Data Product", "Data Operation")}


class DataIngestionLineProperties(Properties):
    """Of which Data Ingestion, and what."""

    ingestion: str = Field("", max_length=600, description="Path of the Data Ingestion that it is a line of.")
    resource: str = Field("", max_length=600, description="Path of a Data Product or a Data Operation.")
    quantity: float = Field(0.0, ge=0, description="1 once there is a sink; 0 before.")
    use: str = Field("", max_length=255, description="What for, such as big_data/ingestion/stream.")
    aggregate: str = Field("", max_length=600, description="Path of the device that it comes from.")


class DataIngestionLine(Document):
    """What is delivered (`resource`), and into what: its category `aggregate` names sink and batch."""

    portal_type = "Data Ingestion Line"
    module_id = "data_ingestion_line_module"
    schema = DataIngestionLineProperties
    in_navigation = in_search = False
    icon = "stream"

    def before_change(self, properties: Properties) -> None:
        """Refuse paths at which there is no such document; raises InvalidError."""
        check_links(self, properties, _KINDS)

    def after_add(self, root: PortalRoot) -> None:
        """Be known to its Data Ingestion; raises InvalidError."""
        check_links(self, self.properties, _KINDS)
        connect_links(self, _KINDS, "ingestion")
        offer(self, root)

    def edit(self, /, **changes: object) -> None:
        """Change properties; raises InvalidError, and then nothing is changed."""
        withdraw(self)
        super().edit(**changes)
        connect_links(self, _KINDS, "ingestion")
        if self.__parent__ is not None and self.__parent__.__parent__ is not None:
            offer(self, self.__parent__.__parent__)

    def before_remove(self) -> None:
        """Deliver it no longer."""
        withdraw(self)
