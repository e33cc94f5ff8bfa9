"""What is on the disk when a commit is acknowledged, and what stays when one is not."""

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from transaction import TransactionManager
from ZODB.POSException import ConflictError

from haywain.errors import DataDirectoryError
from haywain.store import fsync
from haywain.store.chunk import Record
from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.durable import DurableFileStorage
from haywain.store.stream import Stream

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]


def add_segment(connection: PortalConnection, folder: Path, data: bytes = b"segment") -> Stream:
    path = folder / "piece"
    path.write_bytes(data)
    stream = connection.root()["stream"] = Stream()
    connection.add(stream)
    stream.append_files([path])
    path.unlink()
    return stream


def blobs(folder: Path) -> list[Path]:
    return list((folder / "blobs").rglob("*.blob"))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are fsynced from here on, and `finish` at the moment of each acknowledgement."""
    seen: list[str] = []
    flush, finish = os.fsync, DurableFileStorage.tpc_finish

    def noting(descriptor: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        flush(descriptor)

    def finishing(self: DurableFileStorage, *args: object) -> bytes:
        seen.append("finish")
        tid: bytes = finish(self, *args)
        seen.append("finished")
        return tid

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(sys.modules["ZODB.FileStorage.FileStorage"], "fsync", noting)
    monkeypatch.setattr(DurableFileStorage, "tpc_finish", finishing)
    return seen


def test_blobs_and_their_directories_are_synced_before_the_commit(
    begin: Begin, tmp_path: Path, synced: list[str]
) -> None:
    connection, manager = begin()
    add_segment(connection, tmp_path)
    manager.commit()
    (blob,) = blobs(tmp_path)
    before, after = synced[: synced.index("finish")], synced[synced.index("finish") :]
    directories = [str(path) for path in blob.parents if path.is_relative_to(tmp_path / "blobs")]
    assert before == [str(blob), *directories]
    assert after == ["finish", str(tmp_path / "Data.fs"), "finished"]


def test_directories_are_synced_once_for_each_name(begin: Begin, tmp_path: Path, synced: list[str]) -> None:
    """Of the next blob only its own directory is new, and the one above, which names that."""
    connection, manager = begin()
    add_segment(connection, tmp_path)
    manager.commit()
    (old,) = blobs(tmp_path)
    del synced[:]
    connection, manager = begin()
    add_segment(connection, tmp_path)
    manager.commit()
    (blob,) = set(blobs(tmp_path)) - {old}
    assert synced[: synced.index("finish")] == [str(blob), str(blob.parent), str(blob.parent.parent)]


def test_after_a_pack_directories_are_synced_anew(
    begin: Begin, database: Database, tmp_path: Path, synced: list[str]
) -> None:
    """It may have removed some, which the next blob makes again."""
    connection, manager = begin()
    add_segment(connection, tmp_path)
    manager.commit()
    with database.transaction() as other:
        del other.root()["stream"]
    database.pack()
    assert not blobs(tmp_path)
    assert not list((tmp_path / "blobs").glob("0x*"))
    del synced[:]
    connection, manager = begin()
    add_segment(connection, tmp_path)
    manager.commit()
    (blob,) = blobs(tmp_path)
    directories = {str(path) for path in blob.parents if path.is_relative_to(tmp_path / "blobs")}
    assert directories < set(synced[: synced.index("finish")])


def test_what_names_a_new_storage_is_synced(tmp_path: Path, synced: list[str]) -> None:
    DurableFileStorage(tmp_path / "Data.fs", tmp_path / "blobs").close()
    names = {str(tmp_path), f"{tmp_path}/Data.fs.new", f"{tmp_path}/blobs", f"{tmp_path}/blobs/.layout.new"}
    assert set(synced) - {f"{tmp_path}/Data.fs.index.new"} == names
    assert (tmp_path / "Data.fs").read_bytes() == b"FS30"


def test_a_pack_is_synced_before_it_is_renamed(
    begin: Begin, database: Database, tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, manager = begin()
    for number in range(3):
        connection.root()["number"] = number
        manager.commit()
        manager.begin()
    rename = os.rename

    def noting(source: str, target: str) -> None:
        synced.append(f"{Path(source).name} to {Path(target).name}")
        rename(source, target)

    monkeypatch.setattr(os, "rename", noting)
    del synced[:]
    database.pack()
    copy, folder = f"{tmp_path}/Data.fs.pack", str(tmp_path)
    renames = ["Data.fs to Data.fs.old", "Data.fs.pack to Data.fs"]
    index = f"{tmp_path}/Data.fs.index.new"
    assert synced == [copy, copy, folder, *renames, folder, index]
    assert connection.root()["number"] == 2


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_failed_sync_of_a_blob_aborts_the_commit(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    connection, manager = begin()
    add_segment(connection, tmp_path)
    before = (tmp_path / "Data.fs").read_bytes()

    def fail(path: str) -> None:
        raise OSError(code, os.strerror(code), path)

    with monkeypatch.context() as patch:
        patch.setattr(fsync, "fsync_path", fail)
        with pytest.raises(OSError, match=os.strerror(code)):
            manager.commit()
    manager.abort()
    assert (tmp_path / "Data.fs").read_bytes() == before
    assert not blobs(tmp_path)
    manager.begin()
    add_segment(connection, tmp_path)
    manager.commit()
    manager.begin()
    assert connection.root()["stream"].read() == b"segment"


def test_a_conflict_leaves_no_blob(begin: Begin, tmp_path: Path) -> None:
    """FileStorage removes those of a transaction that voted only."""
    (connection, manager), (other, others_manager) = begin(), begin()
    add_segment(connection, tmp_path)
    other.root()["stream"] = None
    others_manager.commit()
    with pytest.raises(ConflictError):
        manager.commit()
    manager.abort()
    assert not blobs(tmp_path)


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let the disk be full: no file of this process can grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("first", ["Data.fs", "Data.fs.tmp"])
@pytest.mark.parametrize(("count", "size"), [(1, 2_000), (500, 2_000), (1, 900_000)])
def test_a_full_disk_aborts_the_commit_and_nothing_comes_later(
    database: Database,
    begin: Begin,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    first: str,
    count: int,
    size: int,
) -> None:
    """The larger file is full first.  What is small is in a buffer when its write fails, and stays there."""
    connection, manager = begin()
    if first == "Data.fs":
        connection.root()["large"] = Record(os.urandom(5_000_000))
        manager.commit()
        manager.begin()
    before = (tmp_path / "Data.fs").read_bytes()
    with files_limited_to(len(before) + 1_000):
        for _ in range(3):
            for number in range(count):
                connection.root()[number] = Record(os.urandom(size))
            with pytest.raises(OSError, match="too large"):
                manager.commit()
            manager.abort()
            manager.begin()
    assert (tmp_path / "Data.fs").read_bytes() == before
    assert "tpc_abort" not in caplog.text
    connection.root()["small"] = b"fits"
    manager.commit()
    assert len((tmp_path / "Data.fs").read_bytes()) < len(before) + 1_000
    database.storage.close()
    open_storage(f"file:{tmp_path}").close()
    assert not list(tmp_path.glob("Data.fs.t[ar]*"))


DOUBT = """
    import sys
    from haywain.store.database import Database, open_storage
    database = Database(open_storage("file:" + sys.argv[1]))
    connection = database.connect()
    connection.transaction_manager.begin()
    connection.root()["acknowledged"] = 1
    connection.transaction_manager.commit()
    print("acknowledged", flush=True)
    def fail(descriptor):
        raise OSError(5, "Input/output error")
    sys.modules["ZODB.FileStorage.FileStorage"].fsync = fail
    connection.transaction_manager.begin()
    connection.root()["doubtful"] = 2
    try:
        connection.transaction_manager.commit()
    finally:
        print("went on", flush=True)
"""


def test_a_commit_in_doubt_ends_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(DOUBT), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 75
    assert ended.stdout == "acknowledged\n"
    assert "in doubt" in ended.stderr
    assert "Input/output error" in ended.stderr
    database = Database(open_storage(f"file:{tmp_path}"))
    with database.transaction() as connection:
        assert dict(connection.root()) == {"acknowledged": 1}
        connection.root()["again"] = 3
    database.close()


def test_what_a_killed_process_left_is_removed(begin: Begin, database: Database, tmp_path: Path) -> None:
    database.storage.close()
    (tmp_path / "blobs/tmp/BUC1234").write_bytes(b"x" * 100)
    (tmp_path / "blobs/tmp/savepoints1").mkdir()
    (tmp_path / "blobs/tmp/savepoints1/0x1-0x0.spb").write_bytes(b"x" * 100)
    open_storage(f"file:{tmp_path}").close()
    assert not list((tmp_path / "blobs/tmp").iterdir())


@pytest.mark.parametrize("left", ["nothing", "Data.fs", "layout"])
def test_blobs_without_their_database_are_kept(
    begin: Begin, database: Database, tmp_path: Path, left: str
) -> None:
    """FileStorage would make a new Data.fs and remove them."""
    connection, manager = begin()
    add_segment(connection, tmp_path)
    manager.commit()
    database.storage.close()
    data_fs = tmp_path / "Data.fs"
    data_fs.rename(tmp_path / "elsewhere")
    if left == "Data.fs":
        data_fs.touch()
    if left == "layout":
        (tmp_path / "blobs/.layout").unlink()
    with pytest.raises(DataDirectoryError, match=r"Data\.fs is missing"):
        open_storage(f"file:{tmp_path}")
    assert len(blobs(tmp_path)) == 1
    (tmp_path / "elsewhere").rename(data_fs)
    reopened = Database(open_storage(f"file:{tmp_path}"))
    with reopened.transaction() as connection:
        assert connection.root()["stream"].read() == b"segment"
    reopened.close()


def test_a_pack_killed_between_its_renames_loses_nothing(
    begin: Begin, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    connection, manager = begin()
    add_segment(connection, tmp_path)
    manager.commit()
    database.storage.close()
    (tmp_path / "Data.fs").rename(tmp_path / "Data.fs.old")
    (tmp_path / "Data.fs.pack").write_bytes(b"FS30")
    reopened = Database(open_storage(f"file:{tmp_path}"))
    with reopened.transaction() as connection:
        assert connection.root()["stream"].read() == b"segment"
    reopened.close()
    assert "pack" in caplog.text


@pytest.mark.parametrize("is_empty", [True, False])
def test_an_old_file_without_the_database_is_kept(database: Database, tmp_path: Path, is_empty: bool) -> None:
    """Beside a whole Data.fs it is what a killed pack left; without one it may be all there is."""
    database.storage.close()
    content = (tmp_path / "Data.fs").read_bytes()
    (tmp_path / "Data.fs").rename(tmp_path / "Data.fs.old")
    if is_empty:
        (tmp_path / "Data.fs").touch()
    with pytest.raises(DataDirectoryError, match="rename it"):
        open_storage(f"file:{tmp_path}")
    assert (tmp_path / "Data.fs.old").read_bytes() == content


@pytest.mark.parametrize("state", ["no blobs", "no layout", "empty layout", "empty Data.fs"])
def test_a_creation_that_was_cut_short_is_finished(tmp_path: Path, state: str) -> None:
    (tmp_path / "Data.fs").write_bytes(b"" if state == "empty Data.fs" else b"FS30")
    if state != "no blobs":
        (tmp_path / "blobs/tmp").mkdir(parents=True)
    if state == "empty layout":
        (tmp_path / "blobs/.layout").touch()
    database = Database(open_storage(f"file:{tmp_path}"))
    with database.transaction() as connection:
        add_segment(connection, tmp_path)
    database.close()
    assert (tmp_path / "blobs/.layout").read_text() == "bushy"
    assert (tmp_path / "blobs/0x00").is_dir()


def test_an_interrupt_waits_until_the_commit_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, flush = signal.getsignal(signal.SIGINT), os.fsync

    def interrupted(descriptor: int) -> None:
        signal.raise_signal(signal.SIGINT)
        flush(descriptor)

    database, manager = Database(open_storage(f"file:{tmp_path}", tmp_path)), TransactionManager()
    connection = database.open(manager)
    connection.root()["stream"] = Stream()
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["ZODB.FileStorage.FileStorage"], "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            manager.commit()
    manager.abort()
    assert signal.getsignal(signal.SIGINT) is handle
    connection.root()["other"] = Stream()
    manager.commit()
    connection.close()
    database.close()
    database = Database(open_storage(f"file:{tmp_path}", tmp_path))
    with database.transaction() as connection:
        assert {"stream", "other"} <= set(connection.root())
    database.close()
