"""The server of a database: ZEO's own, on a DurableFileStorage, so that several processes have it open.

It runs in one thread, message by message: between two of them no transaction is half done, and there a signal
stops it.  Whoever can connect can read and change everything; the wire is msgpack, never pickle, and what is
unpickled to merge two changes of one object may name only the classes that a database may hold.
"""

import asyncio
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ZEO.asyncio.server import Acceptor, ServerProtocol
from ZEO.StorageServer import StorageServer, ZEOStorage
from ZODB import ConflictResolution
from ZODB.utils import p64, z64

from haywain import clock
from haywain.errors import AddressError, PortInUseError
from haywain.store.allowed import is_allowed, is_class_of
from haywain.store.database import Database, open_storage
from haywain.store.zeo_address import Place, uri_of

REMEMBERED = 1000
"""Transactions whose objects the server knows by heart, for clients that come back."""

REMEMBERED_S = 3600.0
"""So old a client's last transaction may be for what changed since to be looked up in the file."""

OIDS_BITS = 16
"""Each server begins with oids that none before it gave out: clients keep some for later, and two that made
objects of one oid would meet a conflict.  So many bits for each 1/16 s; they stay below 2**53 until 2242."""

VOTED_S = 90.0
"""So long a client may hold up all others between its vote and its finish; its catalog may wait for 20 s."""

_IN_USE = "Another program listens on {}; name another place"
_log = logging.getLogger(__name__)


class DatabaseServer:
    """Serves the database in a directory, from its creation to `close`."""

    def __init__(self, directory: Path, place: Place) -> None:
        """Open both; raises DataDirectoryError and its kinds, PortInUseError, AddressError."""
        family, place = _resolved(place)
        storage = _storage(directory)
        try:
            _check_free(family, place)
            self._server = StorageServer(
                place,
                {"1": storage},
                invalidation_queue_size=REMEMBERED,
                invalidation_age=REMEMBERED_S,
                transaction_timeout=VOTED_S,
                msgpack=True,
                Acceptor=_Acceptor,
            )
        except OSError as error:
            storage.close()
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(_IN_USE.format(uri_of(place))) from error
            raise AddressError(f"Cannot listen on {uri_of(place)}: {error.strerror or error}") from error
        except BaseException:
            storage.close()
            raise
        if isinstance(place, str):
            os.chmod(place, 0o600)
        self._server.create_client_handler = lambda: _Client(self._server)
        self._place, self._loop = place, self._server.acceptor.event_loop
        ConflictResolution.find_global = _find_allowed

    @property
    def uri(self) -> str:
        """Where clients find it."""
        place = self._place if isinstance(self._place, str) else self._server.acceptor.addr[:2]
        return uri_of(place)

    def run(self, when_ready: Callable[[], object]) -> None:
        """Serve until SIGTERM or Ctrl-C; to be called in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._loop.stop)
        when_ready()
        self._loop.run_forever()

    def close(self) -> None:
        """Abort what is not finished, and close everything."""
        clients = [client for found in self._server.zeo_storages_by_storage_id.values() for client in found]
        for client in clients:
            client.notify_disconnected()
            client.connection.close()
        self._server.acceptor.server.close()
        self._loop.run_until_complete(asyncio.sleep(0))  # so that the connections are told
        for storage in self._server.storages.values():
            storage.close()
        self._loop.close()
        if isinstance(self._place, str):
            with suppress(FileNotFoundError):
                os.unlink(self._place)


class _Client(ZEOStorage):  # type: ignore[misc]  # ZEO has no types
    """What the server has of one client; if that goes away, nothing of it stays."""

    blob_tempfile: tuple[int, str] | None = None

    def notify_disconnected(self) -> None:
        super().notify_disconnected()
        if self.blob_tempfile is not None:  # it was sending one
            descriptor, name = self.blob_tempfile
            self.blob_tempfile = None
            os.close(descriptor)
            os.unlink(name)


class _Protocol(ServerProtocol):  # type: ignore[misc]  # ZEO has no types
    """Speaks msgpack only, whatever a client proposes: unpickling runs what it is told."""

    def finish_connection(self, protocol_version: bytes) -> None:
        if protocol_version[:1] == b"Z":
            _log.error("a client at %s wants to speak pickle; it is refused", self.get_peername())
            self.close()
            return
        super().finish_connection(protocol_version)


class _Acceptor(Acceptor):  # type: ignore[misc]  # ZEO has no types
    """Makes our protocol for each connection."""

    def __init__(self, *arguments: Any) -> None:
        """Listen; where it cannot, nothing stays open that Python would complain of at the end."""
        try:
            super().__init__(*arguments)
        except BaseException:
            self.event_loop.close()
            raise

    def factory(self) -> _Protocol:
        client = self.storage_server.create_client_handler()
        return _Protocol(self.event_loop, self.addr, client, self.msgpack)


def _storage(directory: Path) -> Any:  # Any: ZODB's storages share no type
    """Return the storage, with its root: two clients that make it at once would meet a conflict."""
    storage = open_storage(f"file:{directory}")
    if storage.lastTransaction() == z64:
        Database(storage).close()
        storage = open_storage(f"file:{directory}")
    storage.set_max_oid(p64(int(clock.now_s() * 16) << OIDS_BITS))
    return storage


def _resolved(place: Place) -> tuple[int, Place]:
    """Return one address of a host, IPv4 before IPv6: of several, each would get a port of its own."""
    if isinstance(place, str):
        return socket.AF_UNIX, os.path.abspath(place)
    host, port = place
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"The host {host!r} cannot be resolved; name another with --host") from error
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, (str(address[0]), port)


def _check_free(family: int, place: Place) -> None:
    """Raise PortInUseError where a program listens: a socket's file would be taken from it."""
    if place[1:] == (0,):
        return
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        if probe.connect_ex(place) == 0:
            raise PortInUseError(_IN_USE.format(uri_of(place)))


def _find_allowed(*names: str) -> Any:  # Any: as ZODB has it
    """Return a class for the merging of changes; for what is not allowed one that cannot be called."""
    module, name = names
    if is_allowed(module, name):
        found = _find_global(module, name)
        if is_class_of(module, name, found):
            return found
    return ConflictResolution.BadClass(module, name)


_find_global = ConflictResolution.find_global
