"""Who acts in an activity, the user who made it with the rights of the moment; and on which document."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from haywain.activity.record import Activity
from haywain.document import Document
from haywain.errors import ForbiddenError, InvalidError, NotFoundError
from haywain.security import SYSTEM, User

if TYPE_CHECKING:
    from haywain.document import PortalRoot
    from haywain.portal import Portal
    from haywain.security.accounts import Account, Credential


def actor_of(root: "PortalRoot", record: Activity) -> User:
    """Return the user of an activity, loaded anew; raises ForbiddenError if that one is locked or gone."""
    return user_of(root, record.login, record.token, record.is_systems)


def user_of(root: "PortalRoot", login: str, token: str, is_systems: bool) -> User:
    """Return who asked for something, loaded anew; raises ForbiddenError if user or token is out."""
    if is_systems:
        return SYSTEM
    if token:
        user = _user_of_token(root, token)
        if user is None or user.login != login:
            raise ForbiddenError("The token that it was asked for with is expired or revoked")
        return user
    person = cast("Account | None", root.find("login", login))
    if person is None or person.state != "validated":
        raise ForbiddenError(f"{login!r}, who asked for it, is locked or gone")
    return person.user()


@contextmanager
def acting_as(portal: "Portal", user: User) -> Iterator[None]:
    """Have another user act in a portal's session for a while."""
    before, portal.user = portal.user, user
    try:
        yield
    finally:
        portal.user = before


def _user_of_token(root: "PortalRoot", path: str) -> User | None:
    module, _, id = path.partition("/")
    try:
        token = cast("Credential", root[module][id])
    except KeyError:
        return None
    return token.user_of(root)


def document_of(portal: "Portal", record: Activity) -> "Document":
    """Return the document of an activity; raises NotFoundError if it is gone, or another lies there.

    Raises InvalidError if its Portal Type is not installed.
    """
    document = portal[record.path]
    if not isinstance(document, Document):
        raise InvalidError(f"{type(document).__name__}, the class of {record.path}, is not installed here")
    if document.uid != record.uid:
        raise NotFoundError(f"Another document lies at {record.path!r} than the one it was asked for")
    return document
