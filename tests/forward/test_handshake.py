"""The handshake: who knows the key and the password is let in, and nobody else."""

import hashlib
from typing import Any

import msgpack
import pytest

from haywain.errors import InvalidError, UnauthorizedError
from haywain.forward.handshake import Account, Handshake, Security


def sha512(*parts: bytes) -> str:
    return hashlib.sha512(b"".join(parts)).hexdigest()


def ping(helo: bytes, key: bytes, user: bytes = b"", password: bytes = b"") -> list[Any]:
    """Return what a client answers, as it is unpacked: with text as bytes."""
    option = msgpack.unpackb(helo, raw=True)[1]
    digest = sha512(b"salt", b"client", option[b"nonce"], key)
    secret = sha512(option[b"auth"], user, password) if option[b"auth"] else ""
    return [b"PING", b"client", b"salt", digest.encode(), user, secret.encode()]


def test_client_with_the_key_is_let_in_and_can_tell_the_server() -> None:
    handshake = Handshake(Security("key"), "server")
    helo = handshake.helo()
    pong, account = handshake.accept(ping(helo, b"key"))
    nonce = msgpack.unpackb(helo, raw=True)[1][b"nonce"]
    assert account is None
    assert msgpack.unpackb(pong) == ["PONG", True, "", "server", sha512(b"salt", b"server", nonce, b"key")]


def test_client_without_the_key_is_not() -> None:
    handshake = Handshake(Security("key"), "server")
    with pytest.raises(UnauthorizedError, match="shared_key"):
        handshake.accept(ping(handshake.helo(), b"other"))


def test_answer_to_another_connection_is_worth_nothing() -> None:
    first, second = (Handshake(Security("key"), "server") for _ in range(2))
    with pytest.raises(UnauthorizedError):
        second.accept(ping(first.helo(), b"key"))


def test_user_is_known_by_name_and_password() -> None:
    accounts = {"a": Account("one"), "b": Account("two")}
    handshake = Handshake(Security("key", accounts), "server")
    helo = handshake.helo()
    assert handshake.accept(ping(helo, b"key", b"b", b"two"))[1] is accounts["b"]
    for user, password in ((b"a", b"two"), (b"c", b"one"), (b"", b""), (b"\xff", b"one")):
        with pytest.raises(UnauthorizedError, match="username/password"):
            handshake.accept(ping(helo, b"key", user, password))


@pytest.mark.parametrize(
    "message",
    [None, [], [b"PING"], [b"PONG", b"", b"", b"", b"", b""], [b"PING", b"", b"", b"", b"", 1], {b"PING": 1}],
    ids=range(6),
)
def test_what_is_no_ping_is_refused(message: Any) -> None:
    handshake = Handshake(Security("key"), "server")
    with pytest.raises(InvalidError):
        handshake.accept(message)
