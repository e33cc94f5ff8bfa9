"""Streams through a ZEO server that runs the same storage."""

import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from transaction import TransactionManager
from ZODB.POSException import ConflictError

from haywain.errors import CorruptDataError
from haywain.settings import load
from haywain.soundness import verify
from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.stream import Stream

SERVER = """
    import sys
    from ZEO.StorageServer import StorageServer
    from haywain.store import stream
    from haywain.store.database import open_storage
    where = sys.argv[2]
    address = where if where.startswith("/") else ("127.0.0.1", int(where))
    StorageServer(address, {"1": open_storage("file:" + sys.argv[1])}).loop()
"""


@pytest.fixture(params=["port", "socket"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, free_port: int) -> Iterator[str]:
    """The URI of a server on a new database."""
    (tmp_path / "server").mkdir()
    where = str(free_port) if request.param == "port" else f"{tmp_path}/socket"
    command = [sys.executable, "-c", textwrap.dedent(SERVER), f"{tmp_path}/server", where]
    process = subprocess.Popen(command)
    try:
        _wait_for(where)
        yield f"zeo://127.0.0.1:{free_port}" if request.param == "port" else f"zeo://{where}"
    finally:
        process.kill()
        process.wait(10)


def _wait_for(where: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        is_path = where.startswith("/")
        with socket.socket(socket.AF_UNIX if is_path else socket.AF_INET) as probe:
            if probe.connect_ex(where if is_path else ("127.0.0.1", int(where))) == 0:
                return
        assert time.monotonic() < deadline, "the server does not listen"
        time.sleep(0.02)


@pytest.fixture
def clients(uri: str, tmp_path: Path) -> Iterator[list[tuple[PortalConnection, TransactionManager]]]:
    """Connections of two clients with caches of their own, each in a transaction."""
    databases = [Database(open_storage(uri, tmp_path / name)) for name in ("cache1", "cache2")]
    with databases[0].transaction() as connection:
        connection.root()["stream"] = Stream()
    opened = []
    for database in databases:
        manager = TransactionManager(explicit=True)
        manager.begin()
        opened.append((database.connect(manager), manager))
    yield opened
    for (connection, manager), database in zip(opened, databases, strict=True):
        manager.abort()
        connection.close()
        database.close()


def again(manager: TransactionManager) -> None:
    manager.abort()
    manager.begin()


def test_bytes_and_blobs_go_through_a_server(
    small: None, clients: list[tuple[PortalConnection, TransactionManager]], tmp_path: Path
) -> None:
    (one, manager), (two, others_manager) = clients
    stream: Stream = one.root()["stream"]
    piece = tmp_path / "cache1" / "piece"
    piece.write_bytes(b"p" * 64)
    assert stream.append(b"r" * 100) == 0
    assert stream.append_files([piece]) == 100
    assert stream.read() == b"r" * 100 + b"p" * 64
    stream.seal(0)
    manager.commit()
    assert one.last_tid == one._storage.lastTransaction()
    assert piece.exists()
    again(others_manager)
    other: Stream = two.root()["stream"]
    assert other.read() == b"r" * 100 + b"p" * 64
    assert other.open().read() == b"r" * 100 + b"p" * 64
    assert other.append(b"more") == 164
    manager.begin()
    stream.append(b"lost")
    others_manager.commit()
    with pytest.raises(ConflictError):
        manager.commit()
    again(manager)
    assert stream.read() == b"r" * 100 + b"p" * 64 + b"more"
    others_manager.begin()
    (blob, _) = (tmp_path / "server/blobs").rglob("*.blob")
    assert blob.stat().st_size == 64


def test_a_blob_that_the_server_lost_is_corrupt_data(
    clients: list[tuple[PortalConnection, TransactionManager]], tmp_path: Path
) -> None:
    (one, manager), (two, others_manager) = clients
    one.root()["stream"].append(b"x" * 100)
    one.root()["stream"].close_tail()
    one.root()["stream"].seal(0)
    manager.commit()
    manager.begin()
    (blob,) = (tmp_path / "server/blobs").rglob("*.blob")
    os.unlink(blob)
    again(others_manager)
    with pytest.raises(CorruptDataError, match="has no file"):
        two.root()["stream"].read()


@pytest.mark.parametrize("uri", ["port"], indirect=True)
def test_a_database_is_verified_and_packed_through_its_server(
    clients: list[tuple[PortalConnection, TransactionManager]], uri: str, tmp_path: Path
) -> None:
    """Blobs come over the wire, into a directory of their own; what a server lost is a finding."""
    (one, manager), _ = clients
    for name in ("stream", "gone"):
        stream = one.root()[name] = Stream()
        stream.append(b"x" * 1000)
        stream.close_tail()
        manager.commit()
        manager.begin()
        stream.seal(0)
        manager.commit()
        manager.begin()
    settings = load(data=tmp_path / "none", database=uri)
    report = verify(settings)
    assert report.ok and report.checked["blobs"] == 2 and report.checked["streams"] == 2
    del one.root()["gone"]
    manager.commit()
    manager.begin()
    one.db().pack()
    (blob,) = (tmp_path / "server/blobs").rglob("*.blob")
    assert verify(settings).checked["blobs"] == 1
    os.unlink(blob)
    assert [problem.kind for problem in verify(settings).problems] == ["blob"]
