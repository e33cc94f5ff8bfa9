"""A client of a ZEO server: what happens when the server goes, and what becomes of blobs."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from tests.functional.program import DatabaseProgram, until
from tests.storages import Storage
from transaction import TransactionManager
from transaction.interfaces import NoTransaction, TransientError
from ZEO.Exceptions import ClientDisconnected

from haywain.errors import CorruptDataError, DatabaseServerError, DataDirectoryInUseError, InDoubtError
from haywain.settings import load
from haywain.soundness import verify
from haywain.store import extents, zeo_client
from haywain.store.array import Array
from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.pack_lock import reading
from haywain.store.stream import Stream
from haywain.values import MIB

Begun = tuple[PortalConnection, TransactionManager]


@dataclass
class Clients:
    """A server with a stream in its database, and clients of it."""

    storage: Storage
    process: subprocess.Popen[bytes] | None = None
    opened: list[Database] = field(default_factory=list)
    sessions: list[Begun] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.storage.empty()
        with self.database().transaction() as connection:
            connection.root()["stream"] = Stream()

    @property
    def server(self) -> DatabaseProgram:
        assert self.storage.server is not None
        return self.storage.server

    @property
    def path(self) -> Path:
        return self.storage.path

    def database(self, options: str = "wait_s=5") -> Database:
        """Return the database as another client sees it."""
        uri = f"{self.storage.uri}{'&' if '?' in self.storage.uri else '?'}{options}"
        self.opened.append(Database(open_storage(uri, self.path / f"cache{len(self.opened)}")))
        return self.opened[-1]

    def begin(self, options: str = "wait_s=5") -> Begun:
        """Return a connection of another client, in a transaction."""
        database, manager = self.database(options), TransactionManager(explicit=True)
        manager.begin()
        self.sessions.append((database.connect(manager), manager))
        return self.sessions[-1]

    def restart(self) -> None:
        port = self.server.port
        self.server.kill()
        self.server.start(port)

    def close(self) -> None:
        for connection, manager in self.sessions:
            with suppress(NoTransaction):
                manager.abort()
            connection.close()
        for database in self.opened:
            database.close()


@pytest.fixture(params=["zeo-shared", "zeo-private"])
def clients(
    request: pytest.FixtureRequest, tmp_path: Path, database_server: DatabaseProgram
) -> Iterator[Clients]:
    """Clients of the server that serves all tests."""
    made = Clients(Storage(request.param, tmp_path, database_server))
    yield made
    made.close()


@pytest.fixture(params=["zeo-shared", "zeo-private"])
def mortals(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Clients]:
    """Clients of a server that may be killed."""
    with DatabaseProgram(tmp_path / "var") as server:
        made = Clients(Storage(request.param, tmp_path, server))
        yield made
        made.close()


private = pytest.mark.parametrize("clients", ["zeo-private"], indirect=True)
shared = pytest.mark.parametrize("clients", ["zeo-shared"], indirect=True)


def again(manager: TransactionManager) -> None:
    manager.abort()
    manager.begin()


def sealed(connection: PortalConnection, data: bytes) -> Stream:
    """Put bytes into the stream as a Segment."""
    stream: Stream = connection.root()["stream"]
    stream.append(data)
    stream.close_tail()
    for start in stream.unsealed():
        stream.seal(start)
    return stream


# -- blobs
def test_the_tid_is_that_of_the_own_commit(clients: Clients) -> None:
    connection, manager = clients.begin()
    connection.root()["stream"].append(b"x")
    manager.commit()
    assert connection.last_tid == connection._storage.lastTransaction()
    manager.begin()


def test_a_blob_that_the_server_lost_is_corrupt_data(clients: Clients) -> None:
    (one, manager), (two, others_manager) = clients.begin(), clients.begin()
    sealed(one, b"x" * 100)
    manager.commit()
    manager.begin()
    (blob,) = clients.storage.blobs()
    os.unlink(blob)
    again(others_manager)
    with pytest.raises(CorruptDataError, match="has no file"):
        two.root()["stream"].read()


@shared
def test_a_shared_blob_is_written_once(clients: Clients) -> None:
    connection, manager = clients.begin()
    sealed(connection, b"x" * 100)
    manager.commit()
    manager.begin()
    (blob,) = clients.storage.blobs()
    assert blob.stat().st_nlink == 1 and blob.read_bytes() == b"x" * 100
    assert not list(clients.path.glob("cache*"))


@shared
def test_a_directory_without_blobs_is_not_the_servers(clients: Clients) -> None:
    with pytest.raises(Exception, match="not the server's directory of blobs"):
        open_storage(f"{clients.server.url}?shared={clients.path}")


@pytest.mark.parametrize("mortals", ["zeo-shared"], indirect=True)
def test_a_server_that_comes_back_leaves_the_blobs_that_are_being_written(mortals: Clients) -> None:
    connection, manager = mortals.begin()
    sealed(connection, b"x" * 100)
    mortals.restart()
    manager.commit()
    manager.begin()
    assert connection.root()["stream"].read() == b"x" * 100
    assert len(mortals.storage.blobs()) == 1


@private
def test_a_view_downloads_the_blocks_that_it_covers(clients: Clients, small_blocks: None) -> None:
    connection, manager = clients.begin()
    connection.root()["array"] = array = Array((0, extents.PAGE), "u1")
    connection.add(array)
    for number in range(16):
        array.append(np.full((1, extents.PAGE), number))
    manager.commit()
    manager.begin()
    other, others_manager = clients.begin()
    again(others_manager)
    assert other.root()["array"].view(6, 7)[0, 0] == 6
    assert len(list(Path(other.db().storage.blob_dir).rglob("*.blob"))) == 4


@private
def test_a_cache_is_bounded_and_what_is_mapped_stays(clients: Clients) -> None:
    connection, manager = clients.begin()
    connection.root()["array"] = array = Array((0, 1 << 20), "u1")
    connection.add(array)
    for number in range(12):
        array.append(np.full((1, 1 << 20), number))
        array.flush()
    manager.commit()
    manager.begin()
    other, others_manager = clients.begin("cache_mib=2")
    again(others_manager)
    cache = Path(other.db().storage.blob_dir)
    first = other.root()["array"].view(0, 1)
    for number in range(1, 12):
        assert other.root()["array"].view(number, number + 1)[0, -1] == number
    until(lambda: _size_of(cache) <= 2 * MIB, "the eviction")
    assert (first == 0).all() and other.root()["array"].view()[:, 5].tolist() == list(range(12))


def _size_of(cache: Path) -> int:
    """Return the bytes of the blobs in a cache, from which some may go just now."""
    size = 0
    for path in cache.rglob("*.blob"):
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


@private
def test_a_download_that_was_cut_is_begun_anew(clients: Clients) -> None:
    (one, manager), (two, others_manager) = clients.begin(), clients.begin()
    sealed(one, b"x" * 100_000)
    manager.commit()
    manager.begin()
    again(others_manager)
    stream = two.root()["stream"]
    blob = stream.generations[0].chunk.blob
    place = Path(two.db().storage.fshelper.getBlobFilename(blob._p_oid, one.last_tid))
    place.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{place}.dl").write_bytes(b"cut")
    assert stream.read() == b"x" * 100_000
    assert [path.name for path in place.parent.iterdir() if path.name != ".lock"] == [place.name]


@private
def test_clients_of_one_cache_leave_each_other_what_they_are_about_to_write(clients: Clients) -> None:
    cache = clients.path / "shared by two"
    first = open_storage(clients.storage.uri, cache)
    begun = [cache / "tmp" / "begun.tmp", cache / "5" / "1.00.blob.dl"]
    for path in begun:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    second = open_storage(clients.storage.uri, cache)
    assert all(path.exists() for path in begun)
    first.close()
    third = open_storage(clients.storage.uri, cache)
    assert all(path.exists() for path in begun)
    second.close()
    third.close()
    open_storage(clients.storage.uri, cache).close()
    assert not any(path.exists() for path in begun)


@private
def test_what_a_killed_client_left_in_its_cache_is_removed(clients: Clients) -> None:
    cache = clients.path / f"cache{len(clients.opened)}"
    (cache / "5").mkdir(parents=True)
    for name in ("1.00.blob", "1.00.blob.dl", "0x01.tmp", "0x01abc.tmp-"):
        (cache / "5" / name).touch()
    (cache / "tmp").mkdir()
    (cache / "tmp" / "BUCleft").touch()
    (cache / ".layout").write_text("zeocache")
    clients.database()
    assert [path.name for path in (cache / "5").iterdir()] == ["1.00.blob"]
    assert not list((cache / "tmp").iterdir())


# -- what the server refuses
def test_a_pack_beside_a_backup_is_refused(clients: Clients) -> None:
    with reading(clients.server.data), pytest.raises(DataDirectoryInUseError, match="under way"):
        clients.database().pack()


def test_a_database_is_verified_and_packed_through_its_server(mortals: Clients, tmp_path: Path) -> None:
    connection, manager = mortals.begin()
    for name in ("stream", "gone"):
        stream = connection.root()[name] = Stream()
        stream.append(b"x" * 1000)
        stream.close_tail()
        manager.commit()
        manager.begin()
        stream.seal(0)
        manager.commit()
        manager.begin()
    settings = load(data=tmp_path / "none", database=mortals.storage.uri)
    report = verify(settings)
    assert report.ok and report.checked["blobs"] == 2 and report.checked["streams"] == 2
    assert len(mortals.storage.blobs()) == 2
    del connection.root()["gone"]
    manager.commit()
    manager.begin()
    connection.db().pack()
    (blob,) = mortals.storage.blobs()
    assert verify(settings).checked["blobs"] == 1
    os.unlink(blob)
    assert [problem.kind for problem in verify(settings).problems] == ["blob"]


# -- a server that goes
def test_reads_and_writes_go_on_after_a_restart(mortals: Clients) -> None:
    connection, manager = mortals.begin()
    stream = sealed(connection, b"before")
    manager.commit()
    manager.begin()
    stream.append(b" and")
    mortals.restart()
    stream.append(b" after")
    manager.commit()
    manager.begin()
    assert stream.read() == b"before and after"


def test_all_wait_for_a_while_and_are_refused_then(mortals: Clients) -> None:
    connection, manager = mortals.begin("wait_s=0.5")
    port = mortals.server.port
    mortals.server.kill()
    until(lambda: not connection.db().storage.is_connected(), "the loss")
    began = time.monotonic()
    manager.abort()
    with pytest.raises(DatabaseServerError, match="does not answer"):
        manager.begin()
    manager.abort()
    for _ in range(100):
        with pytest.raises(DatabaseServerError):
            connection.db().storage.loadBefore(b"\0" * 7 + b"\7", b"\x7f" + b"\xff" * 7)
    assert time.monotonic() - began < 10
    mortals.server.start(port)
    until(connection.db().storage.is_connected, "the server")
    manager.begin()
    assert connection.root()["stream"].append(b"x") == 0


def test_a_connection_that_cannot_be_opened_goes_back_to_its_pool(mortals: Clients) -> None:
    database = mortals.database("wait_s=0")
    port = mortals.server.port
    mortals.server.kill()
    until(lambda: not database.storage.is_connected(), "the loss")
    for _ in range(3):
        manager = TransactionManager(explicit=True)
        manager.begin()
        with pytest.raises(DatabaseServerError):
            database.connect(manager)
        manager.abort()
    assert len(database.pool.all) == len(database.pool.available) == 1
    mortals.server.start(port)


# -- commits in doubt
PATCHED = """
    import os, sys
    from haywain import cli
    from haywain.store.durable import DurableFileStorage
    finish, vote = DurableFileStorage._finish_finish, DurableFileStorage.tpc_vote

    def finish_and_die(storage, tid):
        if sys.argv[1] == "after":
            finish(storage, tid)
        if os.path.exists(sys.argv[2]):
            os._exit(9)
        if sys.argv[1] != "after":
            finish(storage, tid)

    def fail(storage, transaction):
        if os.path.exists(sys.argv[2]):
            raise OSError(28, "No space left on device")
        return vote(storage, transaction)

    def broken(descriptor):
        if os.path.exists(sys.argv[2]):
            raise OSError(5, "Input/output error")

    if sys.argv[1] == "full":
        DurableFileStorage.tpc_vote = fail
    elif sys.argv[1] == "fsync":
        sys.modules["ZODB.FileStorage.FileStorage"].fsync = broken
    else:
        DurableFileStorage._finish_finish = finish_and_die
    cli.main(["zeo", *sys.argv[3:]])
"""


@pytest.fixture(params=["before", "after"])
def deadly(request: pytest.FixtureRequest, tmp_path: Path, free_port: int) -> Iterator[tuple[str, Clients]]:
    """A server that fails once `tmp_path/now` is there: it dies before or after a commit is durable."""
    command = [sys.executable, "-c", textwrap.dedent(PATCHED), request.param, f"{tmp_path}/now"]
    command += ["--data", f"{tmp_path}/var", "--port", str(free_port)]
    with (
        open(tmp_path / "stderr", "wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None and process.stdout.readline().startswith(b"haywain: zeo at ")
        server = DatabaseProgram(tmp_path / "var")
        server.url = f"zeo://127.0.0.1:{free_port}"
        made = Clients(Storage("zeo-private", tmp_path, server), process)
        yield request.param, made
        process.kill()
    server.kill()
    made.close()


@pytest.mark.parametrize("deadly", ["full"], indirect=True)
def test_a_full_disk_of_the_server_is_an_error_of_the_system(deadly: tuple[str, Clients]) -> None:
    _, clients = deadly
    connection, manager = clients.begin()
    sealed(connection, b"x" * 100)
    (clients.path / "now").touch()
    with pytest.raises(OSError, match="No space left"):
        manager.commit()
    again(manager)
    (clients.path / "now").unlink()
    stream = sealed(connection, b"y" * 100)
    manager.commit()
    manager.begin()
    assert stream.read() == b"y" * 100 and len(clients.storage.blobs()) == 1


def commit_in_doubt(clients: Clients, manager: TransactionManager, then: Callable[[], object]) -> None:
    """Commit on a server that dies meanwhile; do something when it is dead."""
    (clients.path / "now").touch()
    database = clients.opened[-1]

    def wait() -> None:
        until(lambda: not database.storage.is_connected(), "the loss")
        (clients.path / "now").unlink()
        then()

    helper = threading.Thread(target=wait)
    helper.start()
    try:
        manager.commit()
    finally:
        helper.join()


@pytest.mark.parametrize("deadly", ["fsync"], indirect=True)
def test_a_server_whose_disk_fails_ends_and_keeps_nothing(deadly: tuple[str, Clients]) -> None:
    _, clients = deadly
    connection, manager = clients.begin()
    connection.root()["stream"].append(b"x")
    with pytest.raises(ClientDisconnected):
        commit_in_doubt(clients, manager, lambda: clients.server.start(clients.server.port))
    assert clients.process is not None and clients.process.wait(10) == 75
    again(manager)
    assert connection.root()["stream"].append(b"x") == 0
    manager.commit()
    manager.begin()


def test_what_became_of_a_commit_is_learned_from_a_server_that_comes_back(
    deadly: tuple[str, Clients],
) -> None:
    moment, clients = deadly
    connection, manager = clients.begin()
    stream = sealed(connection, b"x" * 100)
    port = clients.server.port
    if moment == "after":
        commit_in_doubt(clients, manager, lambda: clients.server.start(port))
        kept = connection.last_tid
    else:
        with pytest.raises(ClientDisconnected):
            commit_in_doubt(clients, manager, lambda: clients.server.start(port))
        again(manager)
        sealed(connection, b"x" * 100)
        manager.commit()
        kept = connection.last_tid
    manager.begin()
    assert stream.read() == b"x" * 100
    assert kept == connection.db().storage.lastTransaction()
    assert not list(clients.path.glob("cache*/[0-9]*/*.tmp*"))


def test_a_commit_of_which_nothing_is_learned_is_not_tried_again(
    deadly: tuple[str, Clients], monkeypatch: pytest.MonkeyPatch
) -> None:
    moment, clients = deadly
    connection, manager = clients.begin()
    connection.root()["stream"].append(b"x")
    monkeypatch.setattr(zeo_client, "START_WAIT_S", 0.2)
    with pytest.raises(InDoubtError) as caught:
        commit_in_doubt(clients, manager, lambda: None)
    assert not isinstance(caught.value, TransientError)
    manager.abort()
    monkeypatch.undo()
    clients.server.start(clients.server.port)
    until(connection.db().storage.is_connected, "the server")
    manager.begin()
    assert connection.root()["stream"].size == (moment == "after")
