"""A pack removes history and what nothing refers to, while others go on; it loses nothing else."""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Clock
from transaction import TransactionManager
from ZODB.utils import p64

from haywain.errors import CorruptDataError, DataDirectoryInUseError
from haywain.store import packer, sweep
from haywain.store.array import Array
from haywain.store.beside import blob_files
from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.pack_lock import reading
from haywain.store.stream import Stream
from haywain.store.usage import usage

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]


def blobs(folder: Path) -> list[Path]:
    return sorted(file.path for file in blob_files(folder / "blobs"))


def add_sealed(connection: PortalConnection, manager: TransactionManager, name: str, data: bytes) -> None:
    """Commit a stream of one sealed segment."""
    stream = connection.root()[name] = Stream()
    connection.add(stream)
    stream.append(data)
    stream.close_tail()
    manager.commit()
    manager.begin()
    stream.seal(0)
    manager.commit()
    manager.begin()


def test_history_and_blobs_that_nothing_refers_to_go(
    begin: Begin, database: Database, tmp_path: Path
) -> None:
    connection, manager = begin()
    add_sealed(connection, manager, "kept", b"kept" * 10_000)
    add_sealed(connection, manager, "gone", b"gone" * 10_000)
    assert len(blobs(tmp_path)) == 2
    del connection.root()["gone"]
    manager.commit()
    before = usage(database.storage)
    database.pack()
    after = usage(database.storage)
    assert len(blobs(tmp_path)) == 1
    assert (before.live_blob_bytes, before.blob_bytes) == (40_000, 80_000)
    assert after.blob_bytes == after.live_blob_bytes == 40_000
    assert after.live_data_bytes == before.live_data_bytes
    assert before.data_bytes - after.data_bytes > 80_000
    assert after.historic_bytes < before.historic_bytes // 10
    manager.begin()
    assert connection.root()["kept"].read() == b"kept" * 10_000
    assert not [p.name for p in tmp_path.iterdir() if p.suffix in (".old", ".pack")]


def test_history_younger_than_the_pack_time_stays(begin: Begin, database: Database, tmp_path: Path) -> None:
    connection, manager = begin()
    add_sealed(connection, manager, "stream", b"x" * 1000)
    del connection.root()["stream"]
    manager.commit()
    database.pack(days=1)
    assert len(blobs(tmp_path)) == 1


def test_everything_goes_on_while_a_pack_runs(
    begin: Begin, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads, appends, seals and changes of an array, between any two transactions that are copied."""
    monkeypatch.setattr(packer, "PIECE", 1)
    connection, manager = begin()
    root = connection.root()
    root["stream"], root["array"] = Stream(), Array((4096,), "i8")
    manager.commit()
    threads = [threading.Thread(target=_pack_often, args=(database, stop := threading.Event(), found := []))]
    for thread in threads:
        thread.start()
    expected = b""
    for number in range(60):
        manager.begin()
        root["array"].view()[number::60] = number
        root["stream"].append(piece := b"%d," % number * 50)
        expected += piece
        if number % 7 == 3:
            root["stream"].close_tail()
        for start in root["stream"].unsealed():
            root["stream"].seal(start)
        manager.commit()
        manager.begin()
        assert root["stream"].read() == expected
        assert (root["array"].view()[number::60] == number).all()
        manager.abort()
    stop.set()
    for thread in threads:
        thread.join()
    assert found and all(error is None for error in found)
    manager.begin()
    assert b"".join(root["stream"].chunks()) == expected


def _pack_often(database: Database, stop: threading.Event, found: list[BaseException | None]) -> None:
    import time

    while not stop.is_set():
        try:
            database.pack(time.time() - 1)
            found.append(None)
        except BaseException as error:
            found.append(error)


def test_the_copy_is_synced_while_others_commit(
    begin: Begin, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the commit lock only what was copied since the last time."""
    connection, manager = begin()
    for _ in range(20):
        connection.root()["value"] = os.urandom(1000)
        manager.commit()
        manager.begin()
    monkeypatch.setattr(packer, "PIECE", 5000)
    held, fsync = list[bool](), os.fsync

    def noting(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".pack"):
            held.append(database.storage._commit_lock.locked())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    half = database.undoLog(0, 20)[10]["time"]
    database.pack(half + 1e-6)
    assert held[-1] is True
    assert held[:-1] and not any(held[:-1])


def test_orphans_go_and_blobs_of_the_transaction_under_way_stay(
    begin: Begin, database: Database, tmp_path: Path
) -> None:
    """A killed process left files; while the pack sweeps, another transaction has renamed its blob."""
    connection, manager = begin()
    add_sealed(connection, manager, "stream", b"x" * 1000)
    (kept,) = blobs(tmp_path)
    strange_oid = kept.parent.with_name("0xee") / kept.name
    strange_tid = kept.with_name("0x0300000000000000.blob")
    under_way = kept.parent.with_name("0xed") / "0x0fff000000000000.blob"
    for path in (strange_oid, strange_tid, under_way):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"left")
    database.pack(days=1)
    assert set(blobs(tmp_path)) == {kept, under_way}
    assert not strange_oid.parent.exists()
    assert kept.parent.exists()


def test_what_killed_clients_were_about_to_store_goes_after_a_day(
    begin: Begin, database: Database, tmp_path: Path, set_clock: Clock
) -> None:
    connection, manager = begin()
    connection.root()["stream"] = stream = Stream()
    connection.add(stream)
    stream.append(b"x" * 100)
    stream.close_tail()
    stream.seal(0)
    manager.commit()
    manager.begin()
    (blob,) = (tmp_path / "blobs").rglob("*.blob")
    beside, alone = blob.with_name("0x01abc.tmp-"), tmp_path / "blobs" / "/".join(["0x01"] * 8) / "0x01.tmp"
    alone.parent.mkdir(parents=True)
    for path in (beside, alone):
        path.touch()
    database.pack()
    assert beside.exists() and alone.exists()
    set_clock.forward(days=1.1)
    database.pack()
    assert blob.exists() and not beside.exists() and not alone.parent.exists()


def test_a_state_that_only_an_undo_repeats_keeps_its_blob(
    begin: Begin, database: Database, tmp_path: Path
) -> None:
    """It is found by no chain of states of its object, so the whole log is asked."""
    connection, manager = begin()
    add_sealed(connection, manager, "stream", b"x" * 1000)
    for _ in range(2):
        database.undo(database.undoLog(0, 1)[0]["id"], manager.get())
        manager.commit()
        manager.begin()
    names = {path.name for path in blobs(tmp_path)}
    assert len(names) == 2  # that of the seal, and its copy by the undo of the undo
    assert not sweep.sweep(database.storage)
    database.pack(days=1)
    assert {path.name for path in blobs(tmp_path)} == names
    connection.cacheMinimize()
    assert connection.root()["stream"].read() == b"x" * 1000


def test_nothing_is_swept_where_the_log_is_damaged(begin: Begin, database: Database, tmp_path: Path) -> None:
    connection, manager = begin()
    add_sealed(connection, manager, "stream", b"x" * 1000)
    (kept,) = blobs(tmp_path)
    stray = kept.with_name("0x0300000000000000.blob")
    stray.write_bytes(b"perhaps of a transaction that cannot be read")
    content = bytearray((tmp_path / "Data.fs").read_bytes())
    content[4 + 16] ^= 2
    (tmp_path / "Data.fs").write_bytes(content)
    assert not sweep.sweep(database.storage)
    assert stray.exists()


def test_a_pack_of_a_damaged_database_leaves_all_as_it_is(
    begin: Begin, database: Database, tmp_path: Path
) -> None:
    connection, manager = begin()
    connection.root()["stream"] = Stream()
    manager.commit()
    oid = connection.root()["stream"]._p_oid
    database.storage._index._data[oid[:6]].pop(oid[6:])
    content = (tmp_path / "Data.fs").read_bytes()
    damaged = content.replace(oid + connection.root()["stream"]._p_serial, p64(999) + content[8:16], 1)
    (tmp_path / "Data.fs").write_bytes(damaged)
    with pytest.raises(CorruptDataError, match="haywain verify"):
        database.pack()
    assert (tmp_path / "Data.fs").read_bytes() == damaged
    assert not (tmp_path / "Data.fs.pack").exists()


def test_a_state_that_cannot_be_loaded_ends_the_pack(
    begin: Begin, database: Database, tmp_path: Path
) -> None:
    connection, manager = begin()
    connection.root()["name"] = "Löffel"
    manager.commit()
    content = (tmp_path / "Data.fs").read_bytes()
    damaged = content.replace("Löffel".encode(), b"L\xff\xffffel")
    (tmp_path / "Data.fs").write_bytes(damaged)
    assert usage(database.storage).live_bytes
    with pytest.raises(CorruptDataError, match="haywain verify"):
        database.pack()
    assert (tmp_path / "Data.fs").read_bytes() == damaged


@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_full_disk_ends_the_pack_and_not_the_storage(
    begin: Begin, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    """Whichever sync of the copy fails: before the commit lock is taken, or under it."""
    connection, manager = begin()
    for _ in range(10):
        connection.root()["value"] = os.urandom(1000)
        manager.commit()
        manager.begin()
    count, fsync = 0, os.fsync

    def failing(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == when:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    before = (tmp_path / "Data.fs").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="No space left"):
            database.pack()
    assert (tmp_path / "Data.fs").read_bytes() == before
    assert not (tmp_path / "Data.fs.pack").exists()
    connection.root()["value"] = 7
    manager.commit()
    database.pack()
    manager.begin()
    assert connection.root()["value"] == 7


def test_a_pack_leaves_free_what_must_stay_free(
    begin: Begin, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, manager = begin()
    for number in range(3):
        connection.root()["value"] = number
        manager.commit()
        manager.begin()
    monkeypatch.setattr(packer, "has_room", lambda path: False)
    with pytest.raises(OSError, match="no room for the packed copy"):
        database.pack()
    assert not (tmp_path / "Data.fs.pack").exists()
    assert connection.root()["value"] == 2


def test_no_pack_beside_a_backup_or_another_pack(database: Database, tmp_path: Path) -> None:
    with database.transaction() as connection:
        connection.root()["value"] = 1
    with reading(tmp_path), pytest.raises(DataDirectoryInUseError, match="under way"):
        database.pack()
    database.pack()


@pytest.mark.parametrize("left", ["pack", "old", "index of the old file"])
def test_what_a_killed_pack_left_is_removed_at_the_next_start(
    begin: Begin, database: Database, tmp_path: Path, left: str
) -> None:
    connection, manager = begin()
    for number in range(5):
        connection.root()["value"] = number
        manager.commit()
        manager.begin()
    database.storage._save_index()
    index = (tmp_path / "Data.fs.index").read_bytes()
    database.pack()
    manager.abort()
    database.storage.close()
    if left == "index of the old file":
        (tmp_path / "Data.fs.index").write_bytes(index)
    else:
        shutil.copy(tmp_path / "Data.fs", tmp_path / f"Data.fs.{left}")
    reopened = Database(open_storage(f"file:{tmp_path}"))
    with reopened.transaction() as connection:
        assert connection.root()["value"] == 4
    reopened.close()
    assert {p.name for p in tmp_path.iterdir()} <= {"Data.fs", "Data.fs.index", "Data.fs.lock", "Data.fs.tmp",
                                                   "blobs", "pack.lock"}  # fmt: skip


def test_no_index_of_the_old_file_lies_beside_the_new_one(
    begin: Begin, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the rename and the end of a pack others commit: the old index might come to look sane."""
    connection, manager = begin()
    for number in range(3):
        connection.root()["value"] = number
        manager.commit()
        manager.begin()
    database.storage._save_index()
    seen, rename = list[bool](), os.rename

    def noting(source: Any, target: Any) -> None:  # Any: a path
        seen.append((tmp_path / "Data.fs.index").exists())
        rename(source, target)

    monkeypatch.setattr(os, "rename", noting)
    database.pack()
    assert seen == [False, False]
    assert (tmp_path / "Data.fs.index").exists()


def test_a_storage_that_is_closed_gives_up_its_pack_first(
    begin: Begin, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process opens the file at once: it must not be replaced under its feet."""
    connection, manager = begin()
    for number in range(5):
        connection.root()["value"] = number
        manager.commit()
        manager.begin()
    monkeypatch.setattr(packer, "PIECE", 1)
    reached, go_on, errors = threading.Event(), threading.Event(), list[BaseException]()
    has_room = packer.has_room

    def waiting(path: Path) -> bool:
        reached.set()
        assert go_on.wait(20)
        return has_room(path)

    def pack() -> None:
        try:
            database.pack()
        except OSError as error:
            errors.append(error)

    monkeypatch.setattr(packer, "has_room", waiting)
    before = os.stat(tmp_path / "Data.fs").st_ino
    packs, closes = threading.Thread(target=pack), threading.Thread(target=database.storage.close)
    packs.start()
    assert reached.wait(20)
    closes.start()
    while not database.storage.is_closing:
        pass
    go_on.set()
    for thread in (packs, closes):
        thread.join()
    assert "is being closed" in str(errors[0])
    assert os.stat(tmp_path / "Data.fs").st_ino == before
    assert not (tmp_path / "Data.fs.pack").exists()


def test_the_log_is_iterated_while_a_transaction_is_written(begin: Begin, database: Database) -> None:
    """ZODB's iterator looks for the end of the file, where half a transaction lies."""
    connection, manager = begin()
    for number in range(5):
        connection.root()["value"] = number
        manager.commit()
        manager.begin()
    storage = database.storage
    last = storage.lastTransaction()
    connection.root()["value"] = b"x" * 3_000_000
    transaction = manager.get()
    seen: list[bytes] = []

    class Looking:
        """Looks at the log between the vote and the end of a commit."""

        transaction_manager = manager

        def sortKey(self) -> str:
            return "~~"

        def tpc_vote(self, transaction: object) -> None:
            seen.extend(record.tid for record in storage.iterator(last))

        def tpc_begin(self, transaction: object) -> None: ...
        def commit(self, transaction: object) -> None: ...
        def tpc_finish(self, transaction: object) -> None: ...
        def tpc_abort(self, transaction: object) -> None: ...
        def abort(self, transaction: object) -> None: ...

    transaction.join(Looking())
    manager.commit()
    assert seen == [last]
    assert [record.tid for record in storage.iterator(last)] == [last, storage.lastTransaction()]
    manager.begin()
