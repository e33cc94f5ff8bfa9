"""Whose a data directory is, who has it open, and what is said otherwise."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from haywain.errors import DataDirectoryError, DataDirectoryInUseError, DataDirectoryReadOnlyError
from haywain.store.directory import FORMAT, DataDirectory

MARKER = "haywain.json"

HOLD = """
import sys
from haywain.store.directory import DataDirectory
directory = DataDirectory(sys.argv[1])
directory.open()
print("open", flush=True)
sys.stdin.read()
"""

OPEN_AS_NOBODY = """
import os, sys
from haywain.errors import HaywainError
from haywain.store.directory import DataDirectory
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    DataDirectory(sys.argv[1]).open()
except HaywainError as error:
    print(type(error).__name__, error.exit_code, error)
"""


def opened(path: Path) -> bool:
    directory = DataDirectory(path)
    try:
        return directory.open()
    finally:
        directory.close()


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the directory open."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("name", [".", "new", "parent/and/child"])
def test_a_new_or_empty_directory_becomes_ours(tmp_path: Path, name: str) -> None:
    assert opened(tmp_path / name)
    assert not opened(tmp_path / name)
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == [MARKER, "haywain.lock"]


@pytest.mark.parametrize("left", [[], ["haywain.lock"], ["haywain.lock", f"{MARKER}.new"], ["lost+found"]])
def test_a_first_start_that_was_killed_starts_again(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).write_text("")
    assert opened(tmp_path)
    assert not opened(tmp_path)


def test_a_foreign_directory_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(DataDirectoryError, match=r"not a data directory .*it holds 'thesis\.tex'"):
        opened(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_newer_format_names_both_versions(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(f'{{"format": {FORMAT + 1}, "version": "9.8.7"}}')
    with pytest.raises(DataDirectoryError, match=r"format 2, written by Haywain 9\.8\.7.*newer version"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", "{}", '{"format": "x"}', '{"format": null}', "\udcff"]
)
def test_a_damaged_marker_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / MARKER).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataDirectoryError, match=r"haywain\.json is damaged; restore it from a backup"):
        opened(tmp_path)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryError, match="file is not a directory"):
        opened(tmp_path / "file")
    with pytest.raises(DataDirectoryError, match="Not a directory") as caught:
        opened(tmp_path / "file" / "child")
    assert not isinstance(caught.value, DataDirectoryReadOnlyError)


def test_a_directory_in_use_names_the_process_until_it_is_killed(tmp_path: Path) -> None:
    with held(tmp_path / "data") as process:
        with pytest.raises(DataDirectoryInUseError, match=f"in use by process {process.pid} ") as caught:
            opened(tmp_path / "data")
        assert caught.value.exit_code == 75
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert not opened(tmp_path / "data")


def test_a_directory_is_in_use_within_one_process_too(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path)
    first.open()
    with pytest.raises(DataDirectoryInUseError, match=f"process {os.getpid()} "):
        opened(tmp_path)
    first.close()
    first.close()
    assert not opened(tmp_path)


def test_the_first_of_two_first_starts_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other has looked before the marker was there, and takes the lock after the first has gone."""
    take_lock = DataDirectory._take_lock

    def slowly(self: DataDirectory) -> None:
        monkeypatch.setattr(DataDirectory, "_take_lock", take_lock)
        assert opened(tmp_path)
        take_lock(self)

    monkeypatch.setattr(DataDirectory, "_take_lock", slowly)
    assert not opened(tmp_path)


@pytest.mark.parametrize("is_ours", [True, False], ids=["ours", "new"])
def test_a_directory_that_cannot_be_written_says_so(tmp_path: Path, is_ours: bool) -> None:
    data = tmp_path / "data"
    data.mkdir()
    if is_ours:
        opened(data)
    data.chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o1:
            parent.chmod(parent.stat().st_mode | 0o555)
    command = [sys.executable, "-c", OPEN_AS_NOBODY, str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    data.chmod(0o755)
    assert done.stdout.startswith(f"DataDirectoryReadOnlyError 77 The data directory {data} cannot be used: ")
    assert "Permission denied" in done.stdout
    assert "--data" in done.stdout


@pytest.mark.parametrize(
    ("code", "advice", "is_read_only"),
    [(errno.ENOSPC, "make room", False), (errno.EROFS, "the right to write", True)],
    ids=["full", "read-only"],
)
def test_a_full_disk_is_not_called_a_lack_of_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, advice: str, is_read_only: bool
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("haywain.store.directory.write_durably", fail)
        with pytest.raises(DataDirectoryError, match=f"{os.strerror(code)}; .*{advice}") as caught:
            opened(tmp_path)
    assert isinstance(caught.value, DataDirectoryReadOnlyError) == is_read_only
    assert opened(tmp_path)
