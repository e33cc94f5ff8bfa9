"""Data Supply: who delivers data, from when to when."""

from pydantic import Field, model_validator

from haywain.document import Document, Moment, Properties


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
    icon = "supply"
