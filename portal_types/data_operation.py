"""Data Operation: what is done with data: as it is delivered by a rule, or afterwards by a kind of work."""

import json
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, ValidationError, field_validator, model_validator

from haywain.activity.kind import Kind
from haywain.activity.watchers import Watchers
from haywain.document import Document, PortalRoot, Properties
from haywain.errors import InvalidError, UnknownNameError
from haywain.portal_types._named import claim_name
from haywain.store.database import read_current
from haywain.validation import explain, json_object_text

if TYPE_CHECKING:
    from haywain.registry import Registry


class DataOperationProperties(Properties):
    """Which rule does it, or which kind of work."""

    script_id: str = Field(
        "", max_length=255, description="Name of a rule of ingestion_policies/: its deliver is what is done."
    )
    kind: str = Field(
        "",
        max_length=100,
        examples=["stream_to_array"],
        description="The kind of work, for a Data Transformation.",
    )
    parameters: str = Field("{}", max_length=64_000, description="What the kind is given, a JSON object.")
    version: str = Field("", max_length=64, description="Which version of it this is about.")

    @field_validator("parameters", mode="after")
    @classmethod
    def _is_object(cls, value: str) -> str:
        return json_object_text(value)

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "DataOperationProperties":
        if self.script_id and self.kind:
            raise ValueError("kind: it is done by a rule already; give one of both")
        if not self.kind and self.parameters != "{}":
            raise ValueError("parameters: only a kind of work takes any")
        return self


class DataOperation(Document):
    """A resource like a product: a line of a Data Supply says that what it delivers goes through this.

    So one policy, which routes tags, serves supplies whose bytes are decoded in different ways.  With a kind
    of work instead of a rule it is what a Data Transformation does; while one that is validated does it, it
    stays as it is.
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
        """Refuse what is not there, and to change what is done now; raises HaywainError."""
        assert isinstance(properties, DataOperationProperties)
        portal = getattr(self._p_jar, "portal", None)
        if portal is None:
            return
        known = portal.site.registry.ingestion_policies
        if properties.script_id and properties.script_id not in known:
            raise UnknownNameError("rule", properties.script_id, known)
        if (properties.kind, properties.parameters) != (self.properties.kind, self.properties.parameters):
            self._check_unused(portal)
        if properties.kind:
            _work(portal.site.registry, properties)

    def before_remove(self) -> None:
        """Refuse to be missed by a validated Data Transformation; raises InvalidError."""
        self._check_unused(cast(Any, self._p_jar).portal)

    def work(self, registry: "Registry") -> tuple[Kind, dict[str, Any]]:  # Any: JSON
        """Return the kind of work that it names, and what that is given; raises HaywainError."""
        return _work(registry, self.properties)

    def _check_unused(self, portal: Any) -> None:  # Any: the layer above
        """Refuse to change what a validated Data Transformation does, which was read before it was."""
        for path in Watchers.of(portal.root).of_path(self.path):
            transformation = portal[path]
            read_current(transformation)
            if transformation.state == "validated":
                raise InvalidError(f"{path} does this: invalidate it first, and validate it again afterwards")


def _work(registry: "Registry", properties: DataOperationProperties) -> tuple[Kind, dict[str, Any]]:
    """Return the kind of work that properties name, and what it is given; raises HaywainError."""
    if not properties.kind:
        raise InvalidError("kind: the operation names no kind of work")
    kind = registry.activities.get(properties.kind)
    if kind is None:
        raise UnknownNameError("kind of work", properties.kind, registry.activities)
    given = json.loads(properties.parameters)
    try:
        kind.parameters.model_validate(given)
    except ValidationError as error:
        raise InvalidError(f"parameters: {explain(error, kind.parameters)}") from error
    return kind, given
