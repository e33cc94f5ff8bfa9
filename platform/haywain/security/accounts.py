"""Find out who somebody is: by password, by token, by session."""

import hashlib
import secrets
import unicodedata
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol, cast

from BTrees.OOBTree import OOBTree
from persistent import Persistent

from haywain import clock
from haywain.errors import UnauthorizedError
from haywain.security.passwords import TOKEN_PREFIX, is_remembered, verify_password
from haywain.security.user import User

if TYPE_CHECKING:
    from haywain.document import PortalRoot


_CLEARED = 100  # sessions that a login looks at


class Account(Protocol):
    """What a Person is to the login."""

    state: str

    @property
    def password_hash(self) -> str:
        """The argon2id hash."""

    def user(self) -> User:
        """Who acts."""


class Credential(Protocol):
    """What a Token is to the login."""

    def user_of(self, root: "PortalRoot") -> User | None:
        """Who acts, or None if it is expired, revoked or its owner is locked."""


def by_password(root: "PortalRoot", login: str, password: str) -> User:
    """Return the user of a login; raises UnauthorizedError, which does not tell whether the login exists."""
    person, stored = _account(root, login)
    if not verify_password(stored, password) or person is None:
        raise UnauthorizedError("The user or the password is wrong")
    return person.user()


def by_remembered_password(root: "PortalRoot", login: str, password: str) -> User | None:
    """Return the user of a login whose password was verified of late, else None; costs no argon2."""
    person, stored = _account(root, login)
    return person.user() if person is not None and is_remembered(stored, password) else None


def _account(root: "PortalRoot", login: str) -> tuple[Account | None, str]:
    """Return the person of a login and the hash to verify against; "" if nobody may log in by it."""
    person = cast("Account | None", root.find("login", unicodedata.normalize("NFC", login)))
    return person, person.password_hash if person is not None and person.state == "validated" else ""


def by_token(root: "PortalRoot", secret: str) -> User:
    """Return the user of a token; raises UnauthorizedError."""
    token = cast("Credential | None", root.find("token", token_hash(secret)))
    user = token.user_of(root) if token is not None else None
    if user is None:
        raise UnauthorizedError("The token is unknown, expired or revoked")
    return user


def token_hash(secret: str) -> str:
    """Return what is stored of a token's secret: its SHA-256 (a random secret needs no slow hash)."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def new_secret() -> str:
    """Return the secret of a new token: `hw_` and 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


class Login(Persistent):  # type: ignore[misc]  # persistent has no types
    """One browser session on the server: whose, until when, and its CSRF token."""

    def __init__(self, login: str, expires: float) -> None:
        """Begin a session."""
        self.login, self.expires, self.csrf = login, expires, secrets.token_urlsafe(32)


class Logins:
    """The browser sessions of a portal, by the hash of the cookie's secret."""

    def __init__(self, root: "PortalRoot") -> None:
        """Keep them in the root's tools."""
        self._root = root

    def begin(self, login: str, hours: int) -> str:
        """Start a session under a new secret, and return that; old ones near it are cleared away.

        Near it: hashes are random, so that each login looks at a few and all have their turn.
        """
        sessions, now = self._sessions(create=True), clock.now_s()
        secret = secrets.token_urlsafe(32)
        here = token_hash(secret)
        around = islice(chain(sessions.items(min=here), sessions.items(max=here)), _CLEARED)
        for key in [key for key, session in around if session.expires < now]:
            del sessions[key]
        sessions[here] = Login(login, now + hours * 3600)
        return secret

    def find(self, secret: str) -> Login | None:
        """Return the session of a secret if it has not expired."""
        session = self._sessions().get(token_hash(secret))
        return session if session is not None and session.expires > clock.now_s() else None

    def end(self, secret: str) -> None:
        """Forget a session."""
        self._sessions().pop(token_hash(secret), None)

    def end_all(self, login: str) -> None:
        """Forget every session of a login, when its password changes."""
        sessions = self._sessions()
        for key in [key for key, session in sessions.items() if session.login == login]:
            del sessions[key]

    def _sessions(self, create: bool = False) -> OOBTree:
        found = self._root.tools.get("sessions")
        if found is None:
            found = OOBTree()
            if create:
                self._root.tools["sessions"] = found
        return found
