"""What a Stream promises, one by one; test_stream_model.py tries the orders of everything."""

import errno
import gc
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.storages import Storage
from transaction import TransactionManager
from ZODB.blob import Blob
from ZODB.POSException import ConflictError

from haywain import clock
from haywain.errors import CorruptDataError, InvalidError
from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.stream import Generation, Stream
from haywain.values import MIB

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]

pytestmark = pytest.mark.storages(each_run=True)
with_files = pytest.mark.storages("file", "zeo-shared", "zeo-private", each_run=True)
in_files_of_the_database = pytest.mark.storages("file", "zeo-shared", each_run=True)


@pytest.fixture
def content() -> bytes:
    """The bytes of the stream at first: two full generations, which are closed, and a tail."""
    return bytes(range(150))


@pytest.fixture(autouse=True)
def stream(small: None, database: Database, content: bytes) -> None:
    """A stream in the root, of generations of 64 bytes."""
    with database.transaction() as connection:
        stream = connection.root()["stream"] = Stream()
        stream.append(content)


@pytest.fixture
def open_stream(begin: Begin) -> Callable[[], tuple[Stream, TransactionManager]]:
    """Call it for the stream in a transaction of its own."""

    def open_stream() -> tuple[Stream, TransactionManager]:
        connection, manager = begin()
        return connection.root()["stream"], manager

    return open_stream


Open = Callable[[], tuple[Stream, TransactionManager]]


def committed(database: Database) -> bytes:
    with database.transaction() as connection:
        found: bytes = connection.root()["stream"].read()
        return found


def piece(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_append_returns_the_offset_of_the_first_byte(open_stream: Open) -> None:
    stream, _ = open_stream()
    assert [stream.append(b"x"), stream.append(b""), stream.append(b"y" * 200)] == [150, 151, 151]
    assert stream.size == 351


def test_records_and_generations_have_a_limit(open_stream: Open) -> None:
    stream, _ = open_stream()
    assert [(g.start, g.size, g.closed) for g in stream.generations.values()] == [
        (0, 64, True),
        (64, 64, True),
        (128, 22, False),
    ]
    assert [len(record.data) for record in stream.generations[0].records.values()] == [16] * 4


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (0, -1)], ids=["start", "stop"])
def test_a_negative_offset_is_refused(open_stream: Open, start: int, stop: int) -> None:
    stream, _ = open_stream()
    with pytest.raises(InvalidError, match="offset"):
        stream.read(start, stop)


@pytest.mark.parametrize(("start", "stop"), [(150, 160), (200, 300), (20, 10), (7, 7)])
def test_a_range_without_bytes_is_empty(open_stream: Open, start: int, stop: int) -> None:
    stream, _ = open_stream()
    assert stream.read(start, stop) == b""


def test_who_reads_finishes_after_a_replace(open_stream: Open, content: bytes) -> None:
    stream, manager = open_stream()
    chunks, file = stream.chunks(), stream.open()
    first = bytes(next(chunks)) + file.read(10)
    other, others_manager = open_stream()
    other.replace()
    other.append(b"new" * 100)
    others_manager.commit()
    manager.commit()
    manager.begin()
    assert first + b"".join(chunks) == content[:16] + content[:10] + content[16:]
    assert file.read() == content[10:]
    assert stream.read() == b"new" * 100


def test_who_reads_finishes_while_others_append_and_seal(open_stream: Open, content: bytes) -> None:
    stream, manager = open_stream()
    chunks = stream.chunks(stop=140)
    read = b""
    for chunk in chunks:
        read += chunk
        other, others_manager = open_stream()
        other.append(b"more" * 30)
        if other.unsealed():
            other.seal(other.unsealed()[0])
        others_manager.commit()
        manager.commit()
        manager.begin()
    assert read == content[:140]


def test_an_append_beside_a_replace_conflicts(open_stream: Open, database: Database) -> None:
    (stream, manager), (other, others_manager) = open_stream(), open_stream()
    stream.append(b"lost if it landed in the old tree")
    other.replace()
    others_manager.commit()
    with pytest.raises(ConflictError):
        manager.commit()
    manager.abort()
    assert committed(database) == b""


@pytest.mark.parametrize("first", ["append", "seal"])
def test_an_append_beside_a_seal_does_not_conflict(
    open_stream: Open, database: Database, content: bytes, first: str
) -> None:
    (stream, manager), (other, others_manager) = open_stream(), open_stream()
    stream.append(b"beside it" * 20)
    assert other.seal(0)
    assert other.seal(64)
    managers = [manager, others_manager] if first == "append" else [others_manager, manager]
    for each in managers:
        each.commit()
    assert committed(database) == content + b"beside it" * 20


def test_seals_and_appends_at_once_meet_no_conflict(
    storage: Storage, open_stream: Open, database: Database, content: bytes
) -> None:
    """In two connections; where the storage is for several, of two clients."""
    appender, manager = open_stream()
    other = storage.open("other-cache") if storage.server else database
    sealed, is_over, failed = [0], threading.Event(), list[BaseException]()

    def seal() -> None:
        sealer = TransactionManager(explicit=True)
        try:
            while not is_over.is_set() or sealed[-1]:
                sealer.begin()
                connection = other.connect(sealer)
                starts = connection.root()["stream"].unsealed()
                sealed.append(sum(connection.root()["stream"].seal(start) for start in starts))
                sealer.commit()
                connection.close()
        except BaseException as error:  # a conflict, for example
            failed.append(error)
            sealer.abort()

    thread = threading.Thread(target=seal)
    thread.start()
    for number in range(60):
        appender.append(bytes([number]) * 40)
        manager.commit()
        manager.begin()
    is_over.set()
    thread.join()
    manager.abort()
    if other is not database:
        other.close()
    assert not failed
    manager.begin()
    assert appender.read() == content + b"".join(bytes([number]) * 40 for number in range(60))
    assert sum(sealed) == len(appender.generations) - 1


def test_a_seal_keeps_the_bytes_and_drops_the_records(open_stream: Open, content: bytes) -> None:
    stream, manager = open_stream()
    stream.close_tail()
    assert stream.unsealed() == [0, 64, 128]
    assert [stream.seal(start) for start in (0, 64, 128, 128, 5)] == [True, True, True, False, False]
    manager.commit()
    manager.begin()
    assert stream.unsealed() == []
    assert stream.read() == content
    assert all(not generation.records for generation in stream.generations.values())
    assert stream.append(b"after") == 150


def test_a_generation_that_is_appended_to_is_not_sealed(open_stream: Open) -> None:
    stream, _ = open_stream()
    assert not stream.seal(128)


def test_a_pack_removes_the_records_of_a_seal(
    open_stream: Open, database: Database, storage: Storage
) -> None:
    stream, manager = open_stream()
    stream.seal(0)
    stream.seal(64)
    manager.commit()
    data_fs = storage.folder / "Data.fs"
    before = data_fs.stat().st_size
    database.pack()
    assert data_fs.stat().st_size < before
    assert committed(database) == bytes(range(150))


@in_files_of_the_database
def test_files_become_segments_by_link(open_stream: Open, tmp_path: Path, storage: Storage) -> None:
    stream, manager = open_stream()
    paths = [piece(tmp_path, "one", b"1" * 64), piece(tmp_path, "two", b"22")]
    stream.append_files(paths)
    manager.commit()
    assert {p.stat().st_ino for p in storage.blobs()} == {path.stat().st_ino for path in paths}


def test_files_become_segments_and_stay(open_stream: Open, tmp_path: Path, content: bytes) -> None:
    stream, manager = open_stream()
    paths = [piece(tmp_path, "one", b"1" * 64), piece(tmp_path, "two", b"22")]
    assert stream.append_files(paths) == 150
    assert stream.read() == content + b"1" * 64 + b"22"
    manager.commit()
    assert [path.read_bytes() for path in paths] == [b"1" * 64, b"22"]
    for path in paths:
        path.unlink()
    manager.begin()
    assert stream.read() == content + b"1" * 64 + b"22"
    assert stream.append(b"after") == 216


@pytest.mark.parametrize("size", [0, 65])
def test_a_file_that_is_no_segment_is_refused(open_stream: Open, tmp_path: Path, size: int) -> None:
    stream, _ = open_stream()
    with pytest.raises(InvalidError, match="segment"):
        stream.append_files([piece(tmp_path, "odd", b"x" * size)])


@in_files_of_the_database
def test_an_abort_leaves_the_files_and_nothing_else(
    open_stream: Open, tmp_path: Path, content: bytes, storage: Storage
) -> None:
    stream, manager = open_stream()
    before = sorted((storage.folder / "blobs").rglob("*"))
    path = piece(tmp_path, "one", b"1" * 64)
    stream.append_files([path])
    manager.savepoint()
    stream.append_files([path])
    manager.abort()
    gc.collect()
    assert sorted((storage.folder / "blobs").rglob("*")) == before
    assert path.stat().st_nlink == 1
    manager.begin()
    assert stream.read() == content


@with_files
def test_files_can_be_appended_again_after_a_conflict(
    open_stream: Open, database: Database, tmp_path: Path, content: bytes, storage: Storage
) -> None:
    (stream, manager), (other, others_manager) = open_stream(), open_stream()
    path = piece(tmp_path, "one", b"1" * 64)
    stream.append_files([path])
    other.append(b"first")
    others_manager.commit()
    with pytest.raises(ConflictError):
        manager.commit()
    manager.abort()
    gc.collect()
    assert not storage.blobs() and not storage.temporary() and path.stat().st_nlink == 1
    manager.begin()
    stream.append_files([path])
    manager.commit()
    assert len(storage.blobs()) == 1 and path.stat().st_nlink == 2
    assert committed(database) == content + b"first" + b"1" * 64


@with_files
def test_a_file_that_cannot_be_taken_leaves_no_link(
    open_stream: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: Storage
) -> None:
    stream, _ = open_stream()
    folder = tmp_path / "pieces"
    folder.mkdir()
    path = piece(folder, "one", b"1")

    def fail(blob: Blob, path: str) -> None:
        raise OSError("gone")

    monkeypatch.setattr(Blob, "consumeFile", fail)
    with pytest.raises(OSError, match="gone"):
        stream.append_files([path])
    assert path.stat().st_nlink == 1 and not storage.temporary()


def test_a_file_elsewhere_is_copied(
    open_stream: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    def link(*paths: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    stream, manager = open_stream()
    path = piece(tmp_path, "one", b"1" * 64)
    monkeypatch.setattr("os.link", link)
    stream.append_files([path])
    manager.commit()
    assert path.stat().st_nlink == 1 and path.read_bytes() == b"1" * 64
    manager.begin()
    assert stream.read() == content + b"1" * 64


_DIE_BETWEEN_LINK_AND_RENAME = """
import os, sys
from pathlib import Path
from ZODB.blob import Blob
from haywain.store.database import Database, open_storage
Blob.consumeFile = lambda blob, path: os._exit(Path(path).stat().st_nlink)
connection = Database(open_storage(f"file:{sys.argv[1]}")).connect()
connection.transaction_manager.begin()
connection.root()["stream"].append_files([Path(sys.argv[2])])
"""


@pytest.mark.storages("file")
def test_a_kill_between_link_and_rename_leaves_no_link(database: Database, tmp_path: Path) -> None:
    database.close()
    folder = tmp_path / "pieces"
    folder.mkdir()
    path = piece(folder, "one", b"1")
    command = [sys.executable, "-c", _DIE_BETWEEN_LINK_AND_RENAME, str(tmp_path), str(path)]
    assert subprocess.run(command, check=False).returncode == 2
    open_storage(f"file:{tmp_path}").close()
    assert list(folder.iterdir()) == [path] and path.stat().st_nlink == 1


def test_bytes_can_be_read_after_a_savepoint(open_stream: Open, tmp_path: Path, content: bytes) -> None:
    stream, manager = open_stream()
    stream.append_files([piece(tmp_path, "one", b"1" * 64)])
    stream.seal(0)
    manager.savepoint()
    assert stream.read() == content + b"1" * 64
    manager.commit()
    manager.begin()
    assert stream.read() == content + b"1" * 64


def test_appends_of_one_transaction_share_a_record(open_stream: Open, content: bytes) -> None:
    stream, manager = open_stream()
    for number in range(8):
        assert stream.append(b"%d" % number * 3) == len(content) + 3 * number
        if number == 2:
            assert stream.read(len(content)) == b"000111222"
        if number == 3:
            before = manager.savepoint()
    before.rollback()
    stream.append(b"after")
    manager.commit()
    manager.begin()
    stream.append(b"later")
    assert stream.read() == content + b"000111222333" + b"after" + b"later"
    assert len(content) == 150 and list(stream.last.records) == [128, 144, 150, 162, 167]


@pytest.mark.parametrize("lost", [128, 150], ids=["first", "later"])
def test_bytes_that_are_lost_are_said(open_stream: Open, lost: int) -> None:
    stream, manager = open_stream()
    stream.append(b"0123456789")
    manager.commit()
    manager.begin()
    stream.append(b"x")
    assert list(stream.last.records) == [128, 144, 150, 160]
    del stream.last.records[lost]
    with pytest.raises(CorruptDataError, match=f"from offset {lost} on"):
        stream.read()


def test_at_time_is_the_first_byte_of_the_minute(open_stream: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, _ = open_stream()
    stream.replace()
    for second, data in [(60, b"a" * 50), (119, b"b" * 50), (240, b"c" * 50), (200, b"d"), (301, b"e")]:
        monkeypatch.setattr(clock, "now_s", lambda second=second: float(second))
        stream.append(data)
    moments = [0, 60, 100, 120, 240, 299, 300, 360]
    assert [stream.at_time(s) for s in moments] == [0, 0, 0, 100, 100, 100, 151, 152]


def test_at_time_looks_at_few_generations(open_stream: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, manager = open_stream()
    stream.replace()
    for minute in range(200):
        monkeypatch.setattr(clock, "now_s", lambda minute=minute: 60.0 * minute)
        stream.append(bytes(64))
    manager.commit()
    manager.begin()
    for minute in (0, 77, 199, 200):
        stream._p_jar.cacheMinimize()
        assert stream.at_time(60 * minute + 59) == 64 * minute
        looked_at = [o for _, o in stream._p_jar._cache.lru_items() if isinstance(o, Generation)]
        assert len(looked_at) <= 10


def test_modified_is_when_the_last_bytes_came(open_stream: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, _ = open_stream()
    monkeypatch.setattr(clock, "now_s", lambda: 1e9)
    stream.append(b"x")
    monkeypatch.setattr(clock, "now_s", lambda: 2e9)
    stream.close_tail()
    assert stream.modified == 1e9
    assert Stream().modified == 0


@with_files
def test_sealing_and_reading_take_little_memory(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("haywain.store.stream.GENERATION_SIZE", 24 * MIB)
    monkeypatch.setattr("haywain.store.stream.RECORD_SIZE", MIB)
    monkeypatch.setattr("haywain.store.growing.RECORD_SIZE", MIB)
    monkeypatch.setattr("haywain.store.chunk.BLOCK_SIZE", MIB)
    connection, manager = begin()
    stream = connection.root()["large"] = Stream()
    connection.add(stream)
    for number in range(24):
        stream.append(bytes([number]) * MIB)
        manager.commit()
        manager.begin()
    stream.close_tail()
    manager.commit()
    manager.begin()
    connection.cacheMinimize()
    tracemalloc.start()
    try:
        stream.seal(0)
        manager.commit()
        manager.begin()
        assert sum(map(len, stream.chunks())) == 24 * MIB
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
