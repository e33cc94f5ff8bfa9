"""What fluent loggers send: the agent listens for fluentd's forward protocol.

A chunk is acknowledged when it is in the spool.  One whose acknowledgement was lost comes again: the agent
knows the last thousand ids, durably and with the chunk itself, and acknowledges without keeping it twice.
"""

import hashlib
import ipaddress
import threading
from typing import Annotated

from msgspec import Meta

from haywain.agent.source import Draft, Outlet, SourceConfig
from haywain.errors import InvalidError, TemporaryError
from haywain.forward import Account, ForwardLimits, Listener, Security
from haywain.values import MIB

KNOWN_CHUNKS = 1000
_LIMITS = ForwardLimits(message_bytes=8 * MIB, decoded_bytes=16 * MIB, memory_bytes=48 * MIB, connections=64)


class _Config(SourceConfig, kw_only=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 24224
    shared_key: str = ""
    users: dict[str, str] = {}  # noqa: RUF012  # msgspec makes a new one each time
    content_type: str = "application/msgpack"


class Forward:
    """Takes events under their own tags; each chunk is one frame."""

    Config, fields, default_tag = _Config, ("tag",), "{tag}"

    def __init__(self, config: _Config, outlet: Outlet) -> None:
        """Begin with the ids of the chunks that are known, oldest first."""
        self._config, self._outlet = config, outlet
        self._known = sorted(outlet.positions, key=lambda item: int(outlet.positions[item]))
        self._number = int(outlet.positions[self._known[-1]]) if self._known else 0
        self._lock = threading.Lock()
        self.port = 0

    @staticmethod
    def describe(config: _Config) -> str:
        """Say where it would listen; raises InvalidError where anybody could send."""
        if not config.shared_key and (config.users or not _is_loopback(config.host)):
            raise InvalidError("shared_key: it may be left out only on loopback and without users")
        who = "who knows the shared key" if config.shared_key else "every program of this machine"
        return f"what {who} sends to {config.host}, port {config.port}, by fluentd's forward protocol"

    def run(self) -> None:
        """Listen until the end is wanted; with `is_once` there is nothing to wait for."""
        self.describe(self._config)
        if self._outlet.is_once:
            return
        accounts = {name: Account(password) for name, password in self._config.users.items()}
        security = Security(self._config.shared_key, accounts) if self._config.shared_key else None
        listener = Listener(
            self._keep, host=self._config.host, port=self._config.port, security=security, limits=_LIMITS
        )
        self.port = listener.port
        try:
            listener.start()
            self._outlet.fine()
            while not self._outlet.wait(60):
                pass
        finally:
            listener.stop()

    def _keep(self, tag: str, body: bytes, chunk: str | None) -> None:
        """Put events into the spool, unless they are there; raises TemporaryError where that fails."""
        text = tag.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        try:
            with self._lock:
                self._put(self._outlet.tag({"tag": text}), body, chunk)
        except OSError as error:
            raise TemporaryError(f"The spool cannot be written to: {error.strerror or error}") from error

    def _put(self, tag: str, body: bytes, chunk: str | None) -> None:
        if chunk is None:
            self._outlet.put(Draft(tag, body))
            return
        item = _item(tag, chunk)
        if item in self._outlet.positions:
            return
        drafts = [Draft(tag, body, item, self._number + 1)]
        drafts += [Draft("", b"", old) for old in self._known[: max(0, len(self._known) + 1 - KNOWN_CHUNKS)]]
        self._outlet.put(*drafts)
        self._number += 1
        self._known = [*self._known[len(drafts) - 1 :], item]


def _item(tag: str, chunk: str) -> str:
    """Return by what a chunk is known: the ids of some senders are the same under two tags."""
    name = f"{tag}\0{chunk}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(name, digest_size=12).hexdigest()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
