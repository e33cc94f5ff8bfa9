"""A plain client of the forward protocol, byte for byte, and what takes its events."""

import hashlib
import socket
import threading
from typing import Any

import msgpack

from haywain.errors import HaywainError

PAIR = msgpack.packb([1, {"a": 1}])


class Client:
    """A connection to a listener."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._unpacker = msgpack.Unpacker()

    def send(self, *message: Any) -> None:
        self.socket.sendall(msgpack.packb(list(message)))

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Any:
        """Return the next object that the server sends, None if it hangs up."""
        while True:
            for found in self._unpacker:
                return found
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._unpacker.feed(data)

    def shake_hands(self, key: str, user: str = "", password: str = "") -> Any:
        """Return the PONG; raises ConnectionResetError if the server hangs up before it said HELO."""
        helo = self.answer()
        if helo is None:
            raise ConnectionResetError
        kind, option = helo
        assert kind == "HELO"
        digest = _sha512(b"salt", b"client", option["nonce"], key.encode())
        secret = _sha512(option["auth"], user.encode(), password.encode()) if option["auth"] else ""
        self.send("PING", "client", "salt", digest, user, secret)
        return self.answer()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _sha512(*parts: bytes) -> str:
    return hashlib.sha512(b"".join(parts)).hexdigest()


class Taker:
    """Takes events; fails as often as it is told to, and waits while it may not go on."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, str | None]] = []
        self.failures: list[HaywainError | Exception] = []
        self.tries = 0
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()
        self.may_go_on.set()
        self._changed = threading.Condition()

    def deliver(self, tag: str, body: bytes, chunk: str | None) -> None:
        self.has_begun.set()
        assert self.may_go_on.wait(10)
        with self._changed:
            self.tries += 1
            self._changed.notify_all()
            if self.failures:
                raise self.failures.pop(0)
            self.taken.append((tag, body, chunk))

    def wait_for(self, bodies: bytes) -> None:
        """Wait until all that was taken is these bytes."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.body == bodies, 10), self.taken

    @property
    def body(self) -> bytes:
        return b"".join(body for _, body, _ in self.taken)
