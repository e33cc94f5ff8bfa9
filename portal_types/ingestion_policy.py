"""Ingestion Policy: the address agents send to, and the rule that says where their bytes go."""

from typing import Literal

from pydantic import Field

from haywain.document import Document, Properties


class IngestionPolicyProperties(Properties):
    """Which rule a policy follows, and by what it knows again what was sent before."""

    rule: str = Field("", max_length=255, description="Name of a file's class in ingestion_policies/.")
    demand: Literal["", "key", "producer"] = Field(
        "", description="What each request must have: an Idempotency-Key or numbers; numbers of a producer."
    )
    same_body_seconds: int = Field(
        0,
        ge=0,
        le=31 * 86_400,
        description="Without either, a body like one of this sender and tag so lately is a duplicate.",
    )
    record_key: tuple[str, ...] = Field(
        (), max_length=16, description="Fields by which a record is known again, in whatever chunk it comes."
    )


class IngestionPolicy(Document):
    """Agents POST to `/portal_ingestion_policies/{id}/ingest?reference={tag}`."""

    portal_type = "Ingestion Policy"
    module_id = "portal_ingestion_policies"
    schema = IngestionPolicyProperties
    edit_permission = "manage"
    icon = "policy"

    @property
    def rule(self) -> str:
        """The name of the rule; the policy's own id if none is set."""
        found = self.properties
        assert isinstance(found, IngestionPolicyProperties)
        return found.rule or self.id

    def preferred_id(self) -> str | None:
        """Return the reference: it is what agents have in their URL."""
        return str(self.reference) or None
