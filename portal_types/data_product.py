"""Data Product: what is delivered, such as the vibration of a turbine."""

from pydantic import Field

from haywain.document import Document, PortalRoot, Properties
from haywain.portal_types._named import claim_name


class DataProductProperties(Properties):
    """What a product is made of."""

    sink_portal_type: str = Field(
        "Data Stream", max_length=255, description="Kind of document it is delivered into."
    )
    unit: str = Field("", max_length=64, description="Unit of its values, such as m/s2.")


class DataProduct(Document):
    """A resource: the kind of data that supplies deliver and transformations consume."""

    portal_type = "Data Product"
    module_id = "data_product_module"
    schema = DataProductProperties
    icon = "product"

    def after_add(self, root: PortalRoot) -> None:
        """Be found by its reference."""
        claim_name(self)

    def edit(self, /, **changes: object) -> None:
        """Change properties; raises InvalidError, and then nothing is changed."""
        super().edit(**changes)
        claim_name(self)
