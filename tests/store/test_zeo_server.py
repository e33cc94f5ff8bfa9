"""`haywain zeo` as a server: where it listens, what it refuses, how it ends."""

import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from BTrees.LOBTree import LOBTree
from tests.functional.program import DatabaseProgram, run, until
from transaction import TransactionManager
from ZODB.Connection import TransactionMetaData
from ZODB.POSException import ConflictError

from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.stream import Stream


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DatabaseProgram]:
    """A server on a new directory."""
    with DatabaseProgram(tmp_path / "var") as running:
        yield running


def begun(database: Database) -> tuple[PortalConnection, TransactionManager]:
    manager = TransactionManager(explicit=True)
    manager.begin()
    return database.connect(manager), manager


def test_it_says_where_it_is_and_stops_cleanly(server: DatabaseProgram) -> None:
    assert server.url.startswith("zeo://127.0.0.1:") and server.port > 0
    database = Database(open_storage(server.url))
    with database.transaction() as connection:
        connection.root()["stream"] = Stream()
    assert server.stop() == 0
    assert server.rest == b"" and not server.log
    database.close()
    again = Database(open_storage(f"file:{server.data}"))
    with again.transaction() as connection:
        assert "stream" in connection.root()
    again.close()


def test_a_socket_is_only_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "my socket"
    with DatabaseProgram(tmp_path / "var", "--socket", str(path)) as server:
        assert server.url == f"zeo://{tmp_path}/my%20socket"
        assert path.stat().st_mode & 0o777 == 0o600
        Database(open_storage(server.url)).close()
        assert run("zeo", "--data", tmp_path / "other", "--socket", path).returncode == 75
        Database(open_storage(server.url)).close()
        server.kill()
        assert path.exists()
        server.start()
        Database(open_storage(server.url)).close()
        assert server.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--host", "no.such.host.invalid"], 78, "cannot be resolved"),
        (["--host", "192.0.2.1"], 78, "Cannot listen on zeo://192.0.2.1"),
        (["--socket", "/no/such/folder/socket"], 78, "No such file"),
        (["--port", "70000"], 78, "zeo_port"),
    ],
    ids=["host", "address", "socket", "port"],
)
def test_where_it_cannot_listen_it_says_so(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run("zeo", "--data", tmp_path / "var", *arguments)
    assert done.returncode == code and message in done.stderr and len(done.stderr.splitlines()) == 1


def test_directory_and_port_in_use_are_75(server: DatabaseProgram, tmp_path: Path) -> None:
    assert run("zeo", "--data", server.data).returncode == 75
    assert run("serve", "--data", server.data).returncode == 75
    done = run("zeo", "--data", tmp_path / "other", "--port", str(server.port))
    assert done.returncode == 75 and "Another program listens" in done.stderr


def test_two_clients_that_come_first_meet_no_conflict(server: DatabaseProgram) -> None:
    """The root is there before them."""
    first, second = open_storage(server.url), open_storage(server.url)
    for database in (Database(first), Database(second)):
        database.close()


def test_changes_of_one_tree_are_merged_on_the_server(server: DatabaseProgram) -> None:
    databases = [Database(open_storage(server.url)) for _ in range(2)]
    with databases[0].transaction() as connection:
        connection.root()["tree"] = LOBTree()
    (one, manager), (two, others) = map(begun, databases)
    one.root()["tree"][1], two.root()["tree"][2] = Stream(), Stream()
    manager.commit()
    others.commit()
    for each in (manager, others):
        each.begin()
    assert list(one.root()["tree"]) == [1, 2]
    for database in databases:
        database.close()


def test_what_may_not_be_in_a_database_is_not_loaded_to_merge_changes(
    server: DatabaseProgram, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    storage = open_storage(server.url)
    database = Database(storage)
    with database.transaction() as connection:
        connection.root()["tree"] = tree = LOBTree()
    with database.transaction() as connection:
        oid, serial = tree._p_oid, connection.root()["tree"]._p_serial
        connection.root()["tree"][1] = 1
    call = b"cshutil\nrmtree\n(V" + str(victim).encode() + b"\ntR."
    transaction = TransactionMetaData()
    storage.tpc_begin(transaction)
    storage.store(oid, serial, b"cBTrees.LOBTree\nLOBTree\n." + call, "", transaction)
    with pytest.raises(ConflictError):
        storage.tpc_vote(transaction)
    storage.tpc_abort(transaction)
    assert victim.exists()
    database.close()


def greet(server: DatabaseProgram, answer: bytes) -> bytes:
    """Answer the server's greeting, ask what it must not unpickle, and return what comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        greeting = client.recv(100)
        assert greeting.endswith(b"M5")
        client.sendall(struct.pack(">I", len(answer)) + answer)
        message = b"cposix\nsystem\n(Vtrue\ntR."
        client.sendall(struct.pack(">I", len(message)) + message)
        return client.recv(100)


@pytest.mark.parametrize("answer", [b"Z5", b"M9", b"nonsense"])
def test_a_client_that_speaks_something_else_is_refused(server: DatabaseProgram, answer: bytes) -> None:
    assert greet(server, answer) == b""
    Database(open_storage(server.url)).close()


def test_what_a_lost_client_was_sending_is_removed(server: DatabaseProgram) -> None:
    temporary = server.data / "blobs" / "tmp"
    storage = open_storage(server.url, server.data.with_name("cache"))
    storage._async("storeBlobStart")
    storage._async("storeBlobChunk", b"x" * 1000)
    until(lambda: len(list(temporary.iterdir())) == 1, "the file")
    storage.close()
    until(lambda: not list(temporary.iterdir()), "its removal")


def test_a_client_that_stops_between_vote_and_finish_holds_up_others_only_for_a_while(
    server: DatabaseProgram,
) -> None:
    """It is killed here; one that merely hangs is cut off after `VOTED_S`."""
    hanging = os.fork()
    if not hanging:
        database = Database(open_storage(server.url))
        connection, manager = begun(database)
        connection.root()["x"] = 1
        transaction = manager.get()
        connection.tpc_begin(transaction)
        connection.commit(transaction)
        connection.tpc_vote(transaction)
        (server.data / "voted").touch()
        time.sleep(60)
        os._exit(0)
    until(lambda: (server.data / "voted").exists(), "the vote")
    os.kill(hanging, signal.SIGKILL)
    os.waitpid(hanging, 0)
    database = Database(open_storage(server.url))
    with database.transaction() as connection:
        connection.root()["y"] = 1
    with database.transaction() as connection:
        assert "x" not in connection.root()
    database.close()
