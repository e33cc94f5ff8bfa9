"""Token: a secret for a program, bound to scopes, shown once."""

from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, field_validator

from haywain import clock
from haywain.document import Document, Moment, PortalRoot, Properties
from haywain.errors import InvalidError
from haywain.security.accounts import new_secret, token_hash
from haywain.security.user import User, check_scopes

if TYPE_CHECKING:
    from haywain.security.accounts import Account


class TokenProperties(Properties):
    """Whose rights a token lends, and how many of them."""

    login: str = Field(min_length=1, max_length=64, description="The person whose rights it lends.")
    scopes: tuple[str, ...] = Field(description="read, write, activity, admin, ingest:POLICY or ingest:*.")
    expires: Moment | None = Field(None, description="When it ends; never if empty.")
    secret_hash: str = Field("", exclude=True, description="SHA-256 of the secret; never shown.")

    @field_validator("scopes")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return check_scopes(value)
        except InvalidError as error:
            raise ValueError(error.detail) from error


class Token(Document):
    """A credential of a program: at most its scopes and its owner's rights; revoked while invalidated."""

    portal_type = "Token"
    module_id = "token_module"
    schema = TokenProperties
    workflow_name = "credential"
    view_permission = "manage"
    edit_permission = "manage"
    icon = "token"
    state = "validated"

    last_used: float = 0.0  # seconds since 1970 UTC, to the hour; 0 if it never was

    @property
    def properties(self) -> TokenProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, TokenProperties)
        return found

    def __init__(self, /, **properties: Any) -> None:  # Any: the schema knows the types
        """Take the properties and make a secret, which `shown_once` tells this once."""
        if "secret_hash" in properties:
            raise InvalidError("The secret of a token is made up, not given")
        self._v_secret = new_secret()
        super().__init__(**properties, secret_hash=token_hash(self._v_secret))

    def after_add(self, root: PortalRoot) -> None:
        """Be found by the hash of the secret; raises InvalidError if nobody has the login."""
        if root.find("login", self.properties.login) is None:
            raise InvalidError(f"There is no person with the login {self.properties.login!r}")
        root.claim("token", self.properties.secret_hash, self)

    def edit(self, /, **changes: Any) -> None:  # Any: the schema knows the types
        """Change properties; owner and secret stay; raises InvalidError."""
        if "secret_hash" in changes or changes.get("login", self.properties.login) != self.properties.login:
            raise InvalidError("A token keeps its owner and its secret; make another one")
        super().edit(**changes)

    def shown_once(self) -> dict[str, str]:
        """Return the secret, which is nowhere else; only in the transaction that made it."""
        return {"secret": self._v_secret} if hasattr(self, "_v_secret") else {}

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it, with its last use to the hour, null if it was never used."""
        return super().as_dict() | {"last_used": clock.iso(self.last_used) if self.last_used else None}

    @property
    def received(self) -> float:
        """When it was last used, to the hour."""
        return self.last_used

    @property
    def is_expired(self) -> bool:
        """Whether its time is over."""
        expires = self.properties.expires
        return expires is not None and expires.timestamp() <= clock.now_s()

    def user_of(self, root: PortalRoot) -> User | None:
        """Return who acts with this token; None if it is expired or revoked, or its owner locked."""
        person = cast("Account | None", root.find("login", self.properties.login))
        if self.state != "validated" or self.is_expired or person is None or person.state != "validated":
            return None
        owner = person.user()
        return User(owner.login, owner.roles, frozenset(self.properties.scopes), self.path)
