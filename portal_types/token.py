"""Token: a secret for a program, bound to scopes, shown once."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from pydantic import Field, field_validator

from haywain import clock
from haywain.document import Document, Properties
from haywain.security.user import User, check_scopes

if TYPE_CHECKING:
    from haywain.document import PortalRoot
    from haywain.security.accounts import Account


class TokenProperties(Properties):
    """Whose rights a token lends, and how many of them."""

    login: str = Field(min_length=1, max_length=64, description="The person whose rights it lends.")
    scopes: tuple[str, ...] = Field(description="read, write, activity, admin, ingest:POLICY or ingest:*.")
    expires: datetime | None = Field(None, description="When it ends; never if empty.")
    secret_hash: str = Field("", exclude=True, description="SHA-256 of the secret; never shown.")

    @field_validator("scopes")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_scopes(value)

    @field_validator("expires")
    @classmethod
    def _has_zone(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Token(Document):
    """A credential of a program: at most its scopes, and at most its owner's rights; revoked by invalidating."""

    portal_type = "Token"
    module_id = "token_module"
    schema = TokenProperties
    workflow_name = "account"
    view_permission = "manage"
    edit_permission = "manage"
    icon = "token"
    state = "validated"

    @property
    def properties(self) -> TokenProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, TokenProperties)
        return found

    @property
    def is_expired(self) -> bool:
        """Whether its time is over."""
        expires = self.properties.expires
        return expires is not None and expires.timestamp() <= clock.now_s()

    def user_of(self, root: "PortalRoot") -> User | None:
        """Return who acts with this token; None if it is expired or revoked, or its owner locked."""
        person = cast("Account | None", root.find("login", self.properties.login))
        if self.state != "validated" or self.is_expired or person is None or person.state != "validated":
            return None
        owner = person.user()
        return User(owner.login, owner.roles, frozenset(self.properties.scopes), self.path)
