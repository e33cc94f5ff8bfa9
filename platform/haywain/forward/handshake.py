"""The handshake of the forward protocol: who knows the shared key, and who is who.

    server  ["HELO", {"nonce", "auth", "keepalive"}]
    client  ["PING", hostname, salt, digest, username, password digest]
    server  ["PONG", is_accepted, reason, hostname, digest]

The digests are SHA-512 over salt, hostname, nonce and shared key, and over `auth`, username and password, in
hexadecimal.  So neither key nor password is sent, but the server must know them as they are: it cannot check
what it keeps only the hash of.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from haywain.errors import InvalidError, UnauthorizedError
from haywain.forward.event import Deliver, Reject, text

_NONCE_BYTES = 16


@dataclass(frozen=True)
class Account:
    """A user of the handshake: the password, and who takes what this one sends, if not everybody's."""

    password: str
    deliver: Deliver | None = None
    reject: Reject | None = None


@dataclass(frozen=True)
class Security:
    """What a client must know: the key, and a user's name and password if there are accounts."""

    shared_key: str
    accounts: Mapping[str, Account] = field(default_factory=dict)


class Handshake:
    """That of one connection."""

    def __init__(self, security: Security, hostname: str) -> None:
        """Choose what makes it differ from every other one."""
        self._security, self._hostname = security, hostname.encode()
        self._nonce = secrets.token_bytes(_NONCE_BYTES)
        self._auth = secrets.token_bytes(_NONCE_BYTES) if security.accounts else b""

    def helo(self) -> bytes:
        """Return what the server says first."""
        option = {"nonce": self._nonce, "auth": self._auth, "keepalive": True}
        return _packed(["HELO", option])

    def accept(self, ping: Any) -> tuple[bytes, Account | None]:  # Any: what the client sent
        """Return the answer, and whose it is; raises UnauthorizedError, InvalidError if it is no PING."""
        hostname, salt, digest, username, password = _ping(ping)
        key = self._security.shared_key.encode()
        if not _equal(digest, _digest(salt, hostname, self._nonce, key)):
            raise UnauthorizedError("shared_key mismatch")
        account = self._account(username, password) if self._security.accounts else None
        answer = _digest(salt, self._hostname, self._nonce, key)
        return _packed(["PONG", True, "", text(self._hostname), text(answer)]), account

    def _account(self, username: bytes, password: bytes) -> Account:
        account = self._security.accounts.get(text(username), Account(secrets.token_hex()))
        if not _equal(password, _digest(self._auth, username, account.password.encode())):
            raise UnauthorizedError("username/password mismatch")
        return account

    @staticmethod
    def refusal(reason: str) -> bytes:
        """Return what the server says to a client that it does not let in."""
        return _packed(["PONG", False, reason, "", ""])


def _ping(ping: Any) -> list[bytes]:  # Any: what the client sent
    is_ping = isinstance(ping, list) and len(ping) == 6 and ping[0] == b"PING"
    if not is_ping or not all(isinstance(part, bytes) for part in ping):
        raise InvalidError("A client begins with PING, since a shared key is asked for")
    return list(ping[1:])


def _packed(message: list[Any]) -> bytes:  # Any: what msgpack can hold
    packed: bytes = msgpack.packb(message, unicode_errors="surrogateescape")
    return packed


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).hexdigest().encode()


def _equal(given: bytes, expected: bytes) -> bool:
    return hmac.compare_digest(given.lower(), expected)
