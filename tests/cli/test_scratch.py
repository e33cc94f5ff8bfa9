"""The directory of a demo without --data goes with it, and so do those of demos that were killed."""

import os
import tempfile
from pathlib import Path

import pytest

from haywain.cli.scratch import scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def killed() -> Path:
    """Return what a demo leaves that is killed."""
    process = os.fork()
    if process == 0:
        with scratch() as folder:
            (folder / "var").mkdir()
            os._exit(9)
    os.waitpid(process, 0)
    return next(folder for folder in Path(tempfile.gettempdir()).iterdir() if (folder / "var").exists())


def test_directory_is_there_while_it_is_used(temporary: Path) -> None:
    with scratch() as first:
        (first / "var").mkdir()
        with scratch() as second:
            assert first.is_dir() and second.is_dir() and first != second
    assert list(temporary.iterdir()) == []


def test_directory_goes_after_an_error(temporary: Path) -> None:
    with pytest.raises(SystemExit), scratch() as folder:
        (folder / "var").mkdir()
        raise SystemExit(0)
    assert list(temporary.iterdir()) == []


def test_what_a_killed_demo_left_goes_with_the_next(temporary: Path) -> None:
    dead = killed()
    kept = temporary / "haywain-demo-of-another-kind"
    kept.mkdir()
    (temporary / "haywain-demo-link").symlink_to(temporary.parent)
    with scratch():
        assert not dead.exists() and kept.exists() and temporary.parent.exists()
