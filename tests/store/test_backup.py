"""A backup has all that was there when it was made; what was cut short is known, and the next one goes on."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import Clock
from transaction import TransactionManager
from ZODB.scripts import repozo

from haywain.errors import CorruptDataError, DataDirectoryError, DataDirectoryInUseError, NotFoundError
from haywain.store import backup as backups
from haywain.store import copying
from haywain.store.backup import BackedUp, Backup
from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.manifest import read_manifests
from haywain.store.pack_lock import packing
from haywain.store.restore import restore
from haywain.store.stream import Stream

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]


class Data:
    """A database with a stream of sealed segments and a tail, and its backups."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder, self.dest = database, folder, folder.parent / "my backups"
        self.expected = b""
        (folder / "haywain.json").write_text('{"format": 1, "version": "test"}')
        with database.transaction() as connection:
            connection.root()["stream"] = Stream()

    def write(self, seals: bool = True) -> bytes:
        """Append, and seal; return all bytes."""
        piece = os.urandom(1000)
        with self.database.transaction() as connection:
            stream = connection.root()["stream"]
            stream.append(piece)
            if seals:
                stream.close_tail()
        with self.database.transaction() as connection:
            stream = connection.root()["stream"]
            for start in stream.unsealed():
                stream.seal(start)
        self.expected += piece
        return self.expected

    def backup(self, full: bool = False, dest: Path | None = None) -> BackedUp:
        return Backup(self.folder, self.folder, dest or self.dest).run(full)

    def restored(self, at: float | None = None, dest: Path | None = None) -> bytes:
        """Restore into a new directory and read the stream there."""
        target = self.folder.parent / f"restored-{len(list(self.folder.parent.iterdir()))}"
        found = restore(dest or self.dest, target, at)
        assert not found.problems
        assert (target / "haywain.json").read_text() == '{"format": 1, "version": "test"}'
        return read(target)


def read(folder: Path) -> bytes:
    database = Database(open_storage(f"file:{folder}"))
    try:
        with database.transaction() as connection:
            return bytes(connection.root()["stream"].read())
    finally:
        database.close()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    folder = tmp_path / "var"
    folder.mkdir()
    database = Database(open_storage(f"file:{folder}"))
    yield Data(database, folder)
    database.close()


def test_a_full_backup_and_incremental_ones_are_restored_each(data: Data, set_clock: Clock) -> None:
    kinds, states = [], []
    for number in range(4):
        data.write(seals=number % 2 == 0)
        set_clock.forward(60)
        done = data.backup()
        kinds.append(done.kind)
        states.append((done.manifest.moment, data.expected))
    assert kinds == ["full", *["incremental"] * 3]
    assert data.restored() == data.expected
    for moment, expected in states:
        assert data.restored(moment) == expected
        assert data.restored(moment + 59) == expected


def test_only_what_is_new_is_copied(data: Data) -> None:
    data.write()
    first = data.backup()
    data.write()
    second = data.backup()
    assert second.copied_bytes < first.copied_bytes
    assert second.manifest.start == first.manifest.stop
    assert [len(done.manifest.blobs) for done in (first, second)] == [1, 1]
    assert data.backup().kind == "unchanged"
    assert len(read_manifests(data.dest)) == 2


def test_a_full_backup_when_asked_copies_no_blob_twice(data: Data) -> None:
    data.write()
    data.backup()
    data.write()
    done = data.backup(full=True)
    assert done.kind == "full" and len(done.manifest.blobs) == 2
    assert done.copied_bytes == done.manifest.stop + 1000
    assert data.restored() == data.expected


def test_after_a_pack_the_next_backup_is_full_by_itself(data: Data, set_clock: Clock) -> None:
    data.write()
    moment, before = data.backup().manifest.moment, data.expected
    data.write()
    data.database.pack()
    set_clock.forward(60)
    assert data.backup().kind == "full"
    assert data.backup().kind == "unchanged"
    data.write()
    set_clock.forward(60)
    assert data.backup().kind == "incremental"
    assert data.restored() == data.expected
    assert data.restored(moment) == before


def test_a_restored_directory_goes_on_with_the_same_backups(data: Data, set_clock: Clock) -> None:
    """Restored to an earlier moment it has another history from there on: a full backup begins."""
    data.write()
    moment, earlier = data.backup().manifest.moment, data.expected
    data.write()
    set_clock.forward(60)
    data.backup()
    for at, expected, kind in ((None, data.expected, "incremental"), (moment, earlier, "full")):
        target = data.folder.parent / f"again-{kind}"
        restore(data.dest, target, at)
        database = Database(open_storage(f"file:{target}"))
        again = Data.__new__(Data)
        again.database, again.folder, again.dest, again.expected = database, target, data.dest, expected
        again.write()
        set_clock.forward(60)
        done = again.backup()
        assert done.kind == kind
        assert again.restored() == again.expected
        database.close()


def test_a_backup_is_made_while_others_write(data: Data) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            data.write()

    data.write()
    thread = threading.Thread(target=write)
    thread.start()
    least = []
    for _ in range(8):
        least.append(len(data.expected))
        assert not data.backup().problems
    stop.set()
    thread.join()
    for manifest, size in zip(read_manifests(data.dest), least, strict=False):
        found = data.restored(manifest.moment)
        assert len(found) >= size and data.expected.startswith(found)


def test_blobs_are_linked_on_one_file_system_and_copied_to_another(
    data: Data, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data.write()
    data.backup()
    (linked,) = (data.dest / "blobs").rglob("*.blob")
    assert linked.stat().st_nlink == 2

    def refuse(source: object, target: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(copying.os, "link", refuse)
    data.backup(dest=tmp_path / "elsewhere")
    (copied,) = (tmp_path / "elsewhere/blobs").rglob("*.blob")
    assert copied.stat().st_nlink == 1 and copied.read_bytes() == linked.read_bytes()
    assert data.restored(dest=tmp_path / "elsewhere") == data.expected


def test_all_is_synced_before_the_manifest_and_the_manifest_last(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.write()
    seen, fsync = list[str](), os.fsync

    def noting(descriptor: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(f"{data.dest}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(backups, "link_file", lambda source, target: False)
    name = data.backup().manifest.stamp
    assert seen[0] == f"/{name}.fs.part" and seen[1].endswith(".blob.part")
    assert seen[-2:] == [f"/{name}.json.new", ""]
    assert {"", "/blobs", "/blobs/0x00"} <= set(seen[2:-2])


@pytest.mark.parametrize("at", ["data", "blob", "manifest"])
def test_a_backup_that_was_cut_short_is_none_and_the_next_goes_on(
    data: Data, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    data.write()
    data.backup()
    before = data.expected
    data.write()
    data.write()

    class Cut(BaseException):
        """As if the process was killed here."""

    def cut(*args: object) -> Any:  # Any: never returns
        raise Cut

    name = {"data": "copy_range", "blob": "link_file", "manifest": "Directories.sync"}[at]
    with monkeypatch.context() as patch:
        patch.setattr(f"haywain.store.backup.{name}", cut)
        with pytest.raises(Cut):
            data.backup()
    assert len(read_manifests(data.dest)) == 1
    assert data.restored() == before
    done = data.backup()
    assert done.kind == "incremental" and len(done.manifest.blobs) == 2
    assert data.restored() == data.expected
    names = {path.name for path in data.dest.iterdir() if "fs" in path.suffix or path.suffix == ".part"}
    assert names == {manifest.data_file for manifest in read_manifests(data.dest)}


KILLED = """
    import sys
    from pathlib import Path
    from haywain.store.backup import Backup
    Backup(Path(sys.argv[1]), Path(sys.argv[1]), Path(sys.argv[2])).run(True)
"""


def test_backups_killed_at_random_leave_only_whole_ones(data: Data) -> None:
    import random
    import textwrap

    moments = random.Random(1)
    for _ in range(20):
        data.write()
    for _ in range(6):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), str(data.folder), str(data.dest)]
        with subprocess.Popen(command) as process:
            try:
                process.wait(moments.uniform(0.3, 1.2))
            except subprocess.TimeoutExpired:
                process.kill()
    data.write()
    data.backup()
    for manifest in read_manifests(data.dest):
        assert data.expected.startswith(data.restored(manifest.moment))
    assert data.restored() == data.expected


def test_a_backup_and_a_pack_exclude_each_other(data: Data) -> None:
    with packing(data.folder), pytest.raises(DataDirectoryInUseError, match="pack"):
        data.backup()
    data.backup()


def test_one_backup_at_a_time_to_one_place(data: Data) -> None:
    data.dest.mkdir()
    (data.dest / "backup.lock").touch()
    with backups._alone(data.dest), pytest.raises(DataDirectoryInUseError, match="Another backup"):
        data.backup()


def test_a_place_that_holds_other_things_is_refused(data: Data, tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError, match="lies in the directory"):
        data.backup(dest=data.folder / "backups")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/thesis").touch()
    with pytest.raises(DataDirectoryError, match="thesis"):
        data.backup(dest=tmp_path / "documents")
    with pytest.raises(DataDirectoryError, match=r"Data\.fs is missing"):
        Backup(tmp_path / "none", tmp_path / "none", tmp_path / "new").run()
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_read_is_told_and_the_rest_is_backed_up(data: Data) -> None:
    data.write()
    data.write()
    (lost, _) = sorted((data.folder / "blobs").rglob("*.blob"))
    lost.unlink()
    done = data.backup()
    assert len(done.problems) == 1 and "it is missing" in done.problems[0]
    assert len(done.manifest.blobs) == 1


def test_a_backup_that_lost_a_file_begins_anew(data: Data) -> None:
    data.write()
    first = data.backup()
    (data.dest / first.manifest.data_file).unlink()
    data.write()
    assert data.backup().kind == "full"
    assert data.restored() == data.expected


def test_a_restore_needs_a_new_directory(data: Data, tmp_path: Path) -> None:
    data.write()
    data.backup()
    with pytest.raises(DataDirectoryError, match="is not empty"):
        restore(data.dest, data.folder)
    (tmp_path / "empty").mkdir()
    restore(data.dest, tmp_path / "empty")
    assert read(tmp_path / "empty") == data.expected


def test_there_is_no_backup_before_the_first(data: Data, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There are no backups"):
        restore(tmp_path / "none", tmp_path / "new")
    data.write()
    data.backup()
    with pytest.raises(NotFoundError, match="the first one is of 20"):
        restore(data.dest, tmp_path / "new", 1.0)
    assert not (tmp_path / "new").exists()


def test_damage_of_a_backup_is_told_by_the_restore(data: Data, tmp_path: Path) -> None:
    data.write()
    manifest = data.backup().manifest
    damaged = [data.dest / manifest.data_file, data.dest / "blobs" / manifest.blobs[0].path]
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.unlink()
        path.write_bytes(content)
    found = restore(data.dest, tmp_path / "new")
    assert [str(path) in problem for path, problem in zip(damaged, found.problems, strict=True)] == [True] * 2
    os.truncate(damaged[0], 100)
    with pytest.raises(CorruptDataError, match="too short"):
        restore(data.dest, tmp_path / "newer")


def test_a_restore_that_was_cut_short_is_no_data_directory(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.write()
    data.backup()

    def cut(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("haywain.store.restore.copy_file", cut)
    with pytest.raises(KeyboardInterrupt):
        restore(data.dest, tmp_path / "new")
    assert not (tmp_path / "new/haywain.json").exists()


def test_a_damaged_manifest_is_told(data: Data, tmp_path: Path) -> None:
    data.write()
    manifest = data.backup().manifest
    path = data.dest / f"{manifest.stamp}.json"
    path.write_text(json.dumps({"format": 1}))
    with pytest.raises(CorruptDataError, match="manifest"):
        restore(data.dest, tmp_path / "new")


def test_code_of_own_kinds_is_restored(data: Data, tmp_path: Path) -> None:
    (data.folder / "portal_types").mkdir()
    (data.folder / "portal_types/buoy.py").write_text("class Buoy: ...\n")
    data.write()
    data.backup()
    restore(data.dest, tmp_path / "new")
    assert (tmp_path / "new/portal_types/buoy.py").read_text() == "class Buoy: ...\n"


def test_repozo_can_put_a_data_fs_together(data: Data, tmp_path: Path, set_clock: Clock) -> None:
    """Without Haywain: the files have the names that ZODB's own tool looks for."""
    for _ in range(3):
        data.write()
        set_clock.forward(60)
        data.backup()
    set_clock.forward(60)
    options = SimpleNamespace(
        repository=str(data.dest), date=None, output=str(tmp_path / "Data.fs"), withverify=False, full=False
    )
    options.gzip = False
    options.test_now = (9999, 1, 1, 0, 0, 0)
    repozo.do_recover(options)
    assert (tmp_path / "Data.fs").read_bytes() == (data.folder / "Data.fs").read_bytes()
