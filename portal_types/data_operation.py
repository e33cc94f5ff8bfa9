"""Data Operation: what is done with data as it is delivered, by the name of the rule that does it."""

from pydantic import Field

from haywain.document import Document, PortalRoot, Properties
from haywain.errors import UnknownNameError
from haywain.portal_types._named import claim_name


class DataOperationProperties(Properties):
    """Which rule does it."""

    script_id: str = Field(
        "", max_length=255, description="Name of a rule of ingestion_policies/: its deliver is what is done."
    )
    version: str = Field("", max_length=64, description="Which version of it this is about.")


class DataOperation(Document):
    """A resource like a product: a line of a Data Supply says that what it delivers goes through this.

    So one policy, which routes tags, serves supplies whose bytes are decoded in different ways.
    """

    portal_type = "Data Operation"
    module_id = "data_operation_module"
    schema = DataOperationProperties
    icon = "activity"

    @property
    def properties(self) -> DataOperationProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataOperationProperties)
        return found

    def after_add(self, root: PortalRoot) -> None:
        """Be found by its reference; raises UnknownNameError if the rule is not there."""
        self.before_change(self.properties)
        claim_name(self)

    def edit(self, /, **changes: object) -> None:
        """Change properties; raises InvalidError, and then nothing is changed."""
        super().edit(**changes)
        claim_name(self)

    def before_change(self, properties: Properties) -> None:
        """Refuse a rule that is not there; raises UnknownNameError."""
        assert isinstance(properties, DataOperationProperties)
        portal = getattr(self._p_jar, "portal", None)
        if portal is None or not properties.script_id:
            return
        known = portal.site.registry.ingestion_policies
        if properties.script_id not in known:
            raise UnknownNameError("rule", properties.script_id, known)
