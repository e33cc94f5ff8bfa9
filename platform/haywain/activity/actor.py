"""Who acts in an activity, the user who made it with the rights of the moment; and on which document."""

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
    if record.is_systems:
        return SYSTEM
    if record.token:
        user = _user_of_token(root, record.token)
        if user is None or user.login != record.login:
            raise ForbiddenError("The token that it was asked for with is expired or revoked")
        return user
    person = cast("Account | None", root.find("login", record.login))
    if person is None or person.state != "validated":
        raise ForbiddenError(f"{record.login!r}, who asked for it, is locked or gone")
    return person.user()


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
