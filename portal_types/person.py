"""Person: somebody who logs in."""

from typing import Any

from pydantic import Field, field_validator

from haywain.activity.kind import activity
from haywain.document import Document, PortalRoot, Properties
from haywain.errors import InvalidError
from haywain.security.accounts import Logins
from haywain.security.passwords import hash_password
from haywain.security.user import ROLES, SYSTEM, User
from haywain.store.database import read_current


class PersonProperties(Properties):
    """Who it is; `reference` is the login."""

    reference: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[^\s:/]+$",
        examples=["vera.voss"],
        description="The login name, without blanks, colons and slashes.",
    )
    email: str = Field("", max_length=255, description="Where to write to.")
    roles: tuple[str, ...] = Field(("Viewer",), description="Manager, Editor, Analyst, Viewer, Agent.")
    password_hash: str = Field("", exclude=True, description="argon2id; never shown.")

    @field_validator("roles")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(ROLES))
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no role; there are {', '.join(ROLES)}")
        return tuple(sorted(set(value)))


class Person(Document):
    """A login with a password and roles; locked while invalidated.

    The last Manager who can log in stays one: else nobody could make another.
    """

    portal_type = "Person"
    module_id = "person_module"
    schema = PersonProperties
    workflow_name = "account"
    view_permission = "manage"
    edit_permission = "manage"
    icon = "person"
    state = "validated"

    def __init__(self, /, password: str = "", **properties: Any) -> None:  # Any: the schema knows the types
        """Take properties and a password, of which only the hash is kept; raises InvalidError."""
        if "password_hash" in properties:
            raise InvalidError("Give a password, not a hash")
        if properties.get("reference") == SYSTEM.login:
            raise InvalidError(f"The login {SYSTEM.login} stands for the portal itself; choose another one")
        if password:
            properties["password_hash"] = hash_password(password)
        super().__init__(**properties)

    @property
    def properties(self) -> PersonProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, PersonProperties)
        return found

    @property
    def password_hash(self) -> str:
        """The argon2id hash of the password; "" if none is set."""
        return self.properties.password_hash

    def preferred_id(self) -> str:
        """Return the login."""
        return str(self.reference)

    def after_add(self, root: PortalRoot) -> None:
        """Claim the login; raises DuplicateError if somebody has it."""
        root.claim("login", str(self.reference), self)

    def edit(self, /, **changes: Any) -> None:  # Any: the schema knows the types
        """Change properties; the login stays, a password is kept as its hash; raises InvalidError.

        A new password ends the person's browser sessions.
        """
        if changes.get("reference", self.reference) != self.reference or "password_hash" in changes:
            raise InvalidError("A login stays what it is; make another person")
        password = changes.pop("password", None)
        super().edit(**(changes | ({"password_hash": hash_password(password)} if password else {})))
        if password:
            self._end_sessions()

    def set_password(self, password: str) -> None:
        """Change the password, which ends the person's sessions; raises InvalidError if it is too short."""
        super().edit(password_hash=hash_password(password))
        self._end_sessions()

    def _end_sessions(self) -> None:
        root = self.__parent__.__parent__ if self.__parent__ is not None else None
        if root is not None:
            Logins(root).end_all(str(self.reference))

    def before_change(self, properties: Properties) -> None:
        """Refuse to take the role Manager from the last one; raises InvalidError."""
        assert isinstance(properties, PersonProperties)
        if "Manager" not in properties.roles:
            self._leave_a_manager()

    def before_remove(self) -> None:
        """Refuse to remove the last Manager; raises InvalidError."""
        self._leave_a_manager()

    def before_transition(self, name: str) -> None:
        """Refuse to lock the last Manager; raises InvalidError."""
        if name == "invalidate":
            self._leave_a_manager()

    def _leave_a_manager(self) -> None:
        """Raise InvalidError if this is the last; if two managers end at once, one transaction conflicts."""
        if self.__parent__ is None or not self._can_manage():
            return
        people = (person for person in self.__parent__.documents.values() if isinstance(person, Person))
        other = next((person for person in people if person is not self and person._can_manage()), None)
        if other is None:
            raise InvalidError(
                f"{self.reference} is the last Manager who can log in; first make somebody else one, "
                "with a password"
            )
        read_current(other)

    def _can_manage(self) -> bool:
        return self.state == "validated" and "Manager" in self.properties.roles and bool(self.password_hash)

    def user(self) -> User:
        """Return who acts when this person is logged in."""
        return User(str(self.reference), frozenset(self.properties.roles))

    @activity
    def _canary(self) -> None:
        """Do nothing: that it is run shows that Workers are there."""
