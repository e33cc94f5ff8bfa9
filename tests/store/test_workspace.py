"""Directories for temporary files: one a process, and none of processes that are gone."""

import subprocess
import sys
from pathlib import Path

from haywain.store.database import open_storage
from haywain.store.workspace import Workspace, sweep

_DIE_WITH_A_FILE = """
import os, sys
from pathlib import Path
from haywain.store.workspace import Workspace
(Workspace(Path(sys.argv[1])).path / "file").touch()
os._exit(0)
"""


def test_a_workspace_is_gone_when_it_is_closed(tmp_path: Path) -> None:
    made = Workspace(tmp_path)
    assert made.path.parent == tmp_path
    (made.path / "file").touch()
    made.close()
    made.close()
    assert not list(tmp_path.iterdir())


def test_one_in_use_stays_and_one_of_a_dead_process_goes(tmp_path: Path) -> None:
    used = Workspace(tmp_path)
    subprocess.run([sys.executable, "-c", _DIE_WITH_A_FILE, str(tmp_path)], check=True)
    (tmp_path / "process-without-lock").mkdir()
    assert len(list(tmp_path.iterdir())) == 3
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [used.path]
    other = Workspace(tmp_path)
    assert {used.path, other.path} == set(tmp_path.iterdir())
    used.close()
    other.close()


def test_a_storage_that_is_opened_leaves_what_is_in_use(tmp_path: Path) -> None:
    open_storage(f"file:{tmp_path}").close()
    temporary = tmp_path / "blobs" / "tmp"
    used = Workspace(temporary)
    (temporary / "BUCleft").touch()
    (temporary / "savepoints").mkdir()
    open_storage(f"file:{tmp_path}").close()
    assert list(temporary.iterdir()) == [used.path]
    used.close()
