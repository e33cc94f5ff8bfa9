"""Opening by URI, what a record may name, and the transaction's id that a connection tells."""

import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import transaction
from BTrees.LOBTree import LOBTree
from persistent.mapping import PersistentMapping
from transaction import TransactionManager
from ZODB.Connection import TransactionMetaData
from ZODB.POSException import ConflictError, StateLoadError
from ZODB.utils import p64, u64, z64

from haywain.errors import CorruptDataError, DatabaseServerError, DataDirectoryError, DataDirectoryInUseError
from haywain.store import zeo_client
from haywain.store.chunk import Record
from haywain.store.database import Database, NamedLocks, PortalConnection, open_storage, tid_of

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]


@pytest.mark.parametrize("name", ["plain", "a#b?c=d%20e", "with space", "grün"])
def test_a_directory_is_opened_as_it_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    for uri in (f"file:{tmp_path}/{name}", f"file://{tmp_path}/{name}"):
        open_storage(uri).close()
    assert (tmp_path / name / "Data.fs").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "uri",
    [
        "mysql://host/db",
        "/var/lib/x",
        "",
        "file:",
        "file://",
        "memory:x",
        "zeo:",
        "zeo://",
        "zeo://host:port",
        "zeo:x",
        "zeo://host:1?share=/x",
        "zeo://host:1?shared=/no/blobs",
        "zeo://host:1?wait_s=never",
        "zeo://host:1?wait_s=-1",
        "zeo://host:1?cache_mib=0",
        "zeo://host:1?x",
    ],
)
def test_an_unknown_uri_is_refused(uri: str) -> None:
    with pytest.raises(DataDirectoryError, match="cannot be opened"):
        open_storage(uri)


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError, match="No such file or directory"):
        open_storage(f"file:{tmp_path}/none")


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "Data.fs").write_bytes(b"something else, and long enough")
    with pytest.raises(DataDirectoryError, match="restore it from a backup"):
        open_storage(f"file:{tmp_path}")
    assert (tmp_path / "Data.fs").read_bytes() == b"something else, and long enough"
    (tmp_path / "Data.fs").unlink()
    open_storage(f"file:{tmp_path}").close()


def test_a_database_in_use_is_not_touched_and_names_the_process(database: Database, tmp_path: Path) -> None:
    """Its last transaction may be half written: it must not be cut."""
    with open(tmp_path / "Data.fs", "ab") as file:
        file.write(bytes(100))
    size = (tmp_path / "Data.fs").stat().st_size
    with pytest.raises(DataDirectoryInUseError, match=f"in use by process {os.getpid()};"):
        open_storage(f"file:{tmp_path}")
    assert (tmp_path / "Data.fs").stat().st_size == size


def test_a_server_that_does_not_answer_is_an_error(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zeo_client, "START_WAIT_S", 0.2)
    with pytest.raises(DatabaseServerError, match=f"zeo://127.0.0.1:{free_port} does not answer"):
        open_storage(f"zeo://127.0.0.1:{free_port}")


# -- what a record may name


def store_raw(database: Database, record: bytes) -> bytes:
    """Write a record as it is; return its oid."""
    storage, meta = database.storage, TransactionMetaData()
    oid: bytes = storage.new_oid()
    storage.tpc_begin(meta)
    storage.store(oid, z64, record, "", meta)
    storage.tpc_vote(meta)
    storage.tpc_finish(meta)
    return oid


FORBIDDEN = [
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("subprocess", "Popen"),
    ("shutil", "rmtree"),
    ("ZODB.blob", "remove_committed_dir"),
    ("haywain.store.tail", "mend_tail"),
    ("haywain.store.upload", "shutil"),
    ("haywain.store.durable", "FileStorage"),
    ("haywain.cli", "main"),
    ("haywain.store", "upload"),
    ("persistent.mapping", "IterableUserDict"),
]


@pytest.mark.parametrize(("where", "name"), FORBIDDEN, ids=[".".join(pair) for pair in FORBIDDEN])
@pytest.mark.parametrize("place", ["class", "state"])
def test_a_record_cannot_name_just_anything(
    database: Database, begin: Begin, tmp_path: Path, where: str, name: str, place: str
) -> None:
    named = f"c{where}\n{name}\n".encode()
    victim = tmp_path / "victim"
    victim.mkdir()
    call = named + b"(V" + str(victim).encode() + b"\ntR"
    if place == "class":
        record = call + b"." + pickle.dumps({}, 3)
    else:
        record = b"cpersistent.mapping\nPersistentMapping\n." + b"}Vdata\n" + call + b"s."
    oid = store_raw(database, record)
    connection, _ = begin()
    with pytest.raises((CorruptDataError, StateLoadError)) as caught:
        _ = connection.get(oid).data
    reason = caught.value if isinstance(caught.value, CorruptDataError) else caught.value.__cause__
    assert f"{where}.{name}, which is not allowed" in str(reason)
    assert victim.exists()


def test_what_the_portal_stores_may_be_named(begin: Begin) -> None:
    connection, manager = begin()
    values = [LOBTree(), PersistentMapping(), Record(b"x"), {1, 2}, frozenset({3}), b"b", 1.5, ("a", None)]
    connection.root()["values"] = values
    manager.commit()
    connection.cacheMinimize()
    manager.begin()
    assert [type(value) for value in connection.root()["values"]] == [type(value) for value in values]


# -- the transaction's id


def test_the_tid_is_that_of_each_own_commit(database: Database, begin: Begin) -> None:
    connection, manager = begin()
    for number in range(3):
        connection.root()["number"] = number
        manager.commit()
        assert connection.last_tid == database.storage.lastTransaction()
        manager.begin()
    assert tid_of(connection.root()) == connection.last_tid.hex()


def test_a_commit_without_changes_keeps_the_tid(database: Database, begin: Begin) -> None:
    (connection, manager), (other, others_manager) = begin(), begin()
    connection.root()["number"] = 1
    manager.commit()
    before = connection.last_tid
    other.root()["number2"] = 1
    with pytest.raises(ConflictError):
        others_manager.commit()
    others_manager.abort()
    manager.begin()
    manager.commit()
    assert (connection.last_tid, other.last_tid) == (before, z64)


def test_the_tid_is_right_after_savepoints_and_with_an_empty_cache(database: Database, begin: Begin) -> None:
    connection, manager = begin()
    connection.root()["record"] = Record(b"x")
    manager.savepoint()
    connection.root()["other"] = Record(b"y")
    manager.savepoint()
    connection.cacheMinimize()
    manager.commit()
    assert connection.last_tid == database.storage.lastTransaction()


def test_the_tid_is_right_when_all_changes_were_merged(database: Database, begin: Begin) -> None:
    """Then every object that was written is a ghost, which knows no serial."""
    connection, manager = begin()
    connection.root()["tree"] = LOBTree({0: 0})
    manager.commit()
    manager.begin()
    other, others_manager = begin()
    connection.root()["tree"][1] = 1
    other.root()["tree"][2] = 2
    others_manager.commit()
    manager.commit()
    assert connection.last_tid == database.storage.lastTransaction() > other.last_tid


def test_the_tid_is_right_beside_other_threads(database: Database) -> None:
    with database.transaction() as connection:
        connection.root()["tree"] = LOBTree()
    told: list[tuple[int, bytes]] = []

    def work(worker: int) -> None:
        for number in range(25):
            key = worker * 1000 + number
            for _ in range(50):
                manager = TransactionManager(explicit=True)
                manager.begin()
                mine = database.connect(manager)
                mine.root()["tree"][key] = key
                try:
                    manager.commit()
                except ConflictError:
                    manager.abort()
                    mine.close()
                    continue
                told.append((key, mine.last_tid))
                mine.close()
                break

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tid for _, tid in told}) == len(told) == 100
    for key, tid in told:
        for before, is_there in ((tid, False), (p64(u64(tid) + 1), True)):
            past = database.open(transaction.TransactionManager(), before=before)
            assert (key in past.root()["tree"]) == is_there
            past.close()


# -- the rest


def test_a_lock_of_one_name_is_one_lock() -> None:
    locks = NamedLocks(4)
    assert locks.named("a") is locks.named("a")
    assert len({id(locks.named(str(number))) for number in range(200)}) == 4
