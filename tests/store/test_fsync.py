"""A file is replaced as a whole or not at all."""

import os
from pathlib import Path

import pytest

from haywain.store.fsync import AT_A_TIME, FEW, begin_writing, fsync_all, fsync_path, write_durably


def test_a_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"old and longer")
    write_durably(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output"):
        patch.setattr(os, "fsync", fail)
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"


def test_what_is_not_there_cannot_be_synced(tmp_path: Path) -> None:
    fsync_path(tmp_path)
    with pytest.raises(FileNotFoundError):
        fsync_path(tmp_path / "none")


@pytest.mark.parametrize("count", [0, 1, FEW, FEW + 1, 5 * AT_A_TIME])
def test_all_paths_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    paths = [tmp_path / str(number) for number in range(count)]
    for path in paths:
        path.write_bytes(b"data")
    seen, flush = [], os.fsync

    def noting(descriptor: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    fsync_all([str(path) for path in paths])
    assert sorted(seen) == sorted(map(str, paths))


@pytest.mark.parametrize("count", [FEW, 5 * AT_A_TIME])
def test_one_of_many_that_cannot_be_flushed_is_said(tmp_path: Path, count: int) -> None:
    paths = [tmp_path / str(number) for number in range(count)]
    for path in paths[:-1]:
        path.write_bytes(b"data")
    with pytest.raises(FileNotFoundError, match=f"{paths[-1].name}'"):
        fsync_all([str(path) for path in paths])


def test_writing_may_begin_early(tmp_path: Path) -> None:
    """It changes nothing, and a descriptor that cannot be written raises nothing: fsync says it."""
    path = tmp_path / "file"
    with open(path, "wb", buffering=0) as file:
        file.write(b"data")
        begin_writing(file.fileno())
    assert path.read_bytes() == b"data"
    begin_writing(-1)
