"""Data Supply: who delivers data, from when to when."""

from pydantic import Field, model_validator

from haywain import clock
from haywain.document import Document, Moment, PortalRoot, Properties
from haywain.portal_types._named import claim_name


class DataSupplyProperties(Properties):
    """The terms of a supply."""

    source: str = Field("", max_length=255, description="Who or what sends.")
    effective: Moment | None = Field(None, description="From when it holds.")
    expiration: Moment | None = Field(None, description="Until when it holds.")

    @model_validator(mode="after")
    def _is_forward(self) -> "DataSupplyProperties":
        if self.effective and self.expiration and self.expiration <= self.effective:
            raise ValueError("expiration must be later than effective")
        return self


class DataSupply(Document):
    """An agreement that a source delivers products (category `resource`)."""

    portal_type = "Data Supply"
    module_id = "data_supply_module"
    schema = DataSupplyProperties
    workflow_name = "supply"
    line_type, line_property = "Data Supply Line", "supply"
    icon = "supply"

    @property
    def is_expired(self) -> bool:
        """Whether its time is over."""
        found = self.properties
        assert isinstance(found, DataSupplyProperties)
        return found.expiration is not None and found.expiration.timestamp() <= clock.now_s()

    def after_add(self, root: PortalRoot) -> None:
        """Be found by its reference."""
        claim_name(self)

    def edit(self, /, **changes: object) -> None:
        """Change properties; raises InvalidError, and then nothing is changed."""
        super().edit(**changes)
        claim_name(self)

    def after_transition(self, name: str) -> None:
        """Be found where no other supply holds, once it is the default."""
        root = self.__parent__.__parent__ if self.__parent__ is not None else None
        if root is not None and self.state == "default" and f"default supply:{self.id}" not in self.claims:
            root.claim("default supply", self.id, self)
