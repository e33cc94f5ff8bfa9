"""Data Supply Line: one product that a supply delivers, or the operation that its data goes through."""

from pydantic import Field

from haywain.document import Document, PortalRoot, Properties
from haywain.portal_types._linked import check_links, connect_links

_KINDS = {"supply": ("Data Supply",), "resource": ("Data Product", "Data Operation"), "aggregate": ()}


class DataSupplyLineProperties(Properties):
    """Of which supply, and what."""

    supply: str = Field("", max_length=600, description="Path of the Data Supply that it is a line of.")
    resource: str = Field("", max_length=600, description="Path of a Data Product or a Data Operation.")
    quantity: float = Field(1.0, ge=0, description="How much of it.")
    use: str = Field("", max_length=255, description="What for, such as big_data/ingestion/stream.")
    aggregate: str = Field("", max_length=600, description="Path of the device that it comes from.")


class DataSupplyLine(Document):
    """The pattern of a line of each Data Ingestion that begins by the supply."""

    portal_type = "Data Supply Line"
    module_id = "data_supply_line_module"
    schema = DataSupplyLineProperties
    in_navigation = in_search = False
    icon = "supply"

    def before_change(self, properties: Properties) -> None:
        """Refuse paths at which there is no such document; raises InvalidError."""
        check_links(self, properties, _KINDS)

    def after_add(self, root: PortalRoot) -> None:
        """Be known to its supply; raises InvalidError."""
        check_links(self, self.properties, _KINDS)
        connect_links(self, _KINDS, "supply")

    def edit(self, /, **changes: object) -> None:
        """Change properties; raises InvalidError, and then nothing is changed."""
        super().edit(**changes)
        connect_links(self, _KINDS, "supply")
