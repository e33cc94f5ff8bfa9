"""Users, roles, permissions: one place decides, everything else asks.

role      view  edit  activity  ingest  manage      token scope   gives at most
Manager    x     x       x        x       x         admin         all of its owner's rights
Editor     x     x       x        x                 write         view, edit
Analyst    x     x       x                          read          view
Viewer     x                                        activity      view, activity
Agent                             x                 ingest:ID     ingest, by the policy ID only
                                                    ingest:*      ingest, by any policy
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from haywain.errors import ForbiddenError, InvalidError

if TYPE_CHECKING:
    from haywain.document import Document

ROLES: dict[str, frozenset[str]] = {
    "Manager": frozenset({"view", "edit", "activity", "ingest", "manage"}),
    "Editor": frozenset({"view", "edit", "activity", "ingest"}),
    "Analyst": frozenset({"view", "edit", "activity"}),
    "Viewer": frozenset({"view"}),
    "Agent": frozenset({"ingest"}),
}
"""Permissions of each role."""

_SCOPES = {
    "admin": frozenset({"view", "edit", "activity", "ingest", "manage"}),
    "write": frozenset({"view", "edit"}),
    "read": frozenset({"view"}),
    "activity": frozenset({"view", "activity"}),
}


@dataclass(frozen=True)
class User:
    """Who acts: a login, its roles, and, when acting through a token, the token's scopes and path."""

    login: str
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None
    token: str = ""
    is_looking: bool = False
    """Whether it only looks, at what has passed: then nothing is allowed that changes something."""

    def permissions(self, policy: str = "") -> frozenset[str]:
        """Return what the user may do at most; `policy` counts for scopes bound to an Ingestion Policy."""
        own = frozenset[str]().union(*(ROLES.get(role, frozenset()) for role in self.roles))
        if self.is_looking:
            own &= {"view", "manage"}
        if self.scopes is None:
            return own
        given: set[str] = set()
        for scope in self.scopes:
            given |= _SCOPES.get(scope, frozenset())
            if scope in ("ingest:*", f"ingest:{policy}"):
                given.add("ingest")
        return own & given


ANONYMOUS = User("")
"""Nobody has logged in."""

SYSTEM = User("system", frozenset({"Manager"}))
"""The portal itself, and whoever opens the data directory as its owner."""


def may(user: User, permission: str, document: "Document | None" = None, policy: str = "") -> bool:
    """Return whether a user may do something, to a document or to the portal as a whole."""
    if document is not None and permission == "view":
        permission = document.view_permission
    elif document is not None and permission == "edit":
        permission = document.edit_permission
    return permission in user.permissions(policy)


def require(user: User, permission: str, document: "Document | None" = None, policy: str = "") -> None:
    """Raise ForbiddenError unless the user may do this."""
    if not may(user, permission, document, policy):
        what = document.path if document is not None else "this portal"
        raise ForbiddenError(
            f"{user.login or 'You'} may not {permission} {what}; ask a Manager for a role that may"
        )


def hidden_portal_types(user: User, portal_types: Iterable[type["Document"]]) -> frozenset[str]:
    """Return the Portal Types that a user may not see; every query leaves them out."""
    own = user.permissions()
    return frozenset(cls.portal_type for cls in portal_types if cls.view_permission not in own)


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes of a token, sorted; raises InvalidError for one that is not known."""
    found = tuple(sorted({scope.strip() for scope in scopes if scope.strip()}))
    for scope in found:
        if scope not in _SCOPES and not (scope.startswith("ingest:") and len(scope) > len("ingest:")):
            raise InvalidError(
                f"{scope[:40]!r} is no scope; use read, write, activity, admin or ingest:POLICY"
            )
    if not found:
        raise InvalidError("A token needs a scope: read, write, activity, admin or ingest:POLICY")
    return found
