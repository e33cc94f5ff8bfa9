"""The directory of a demo that nobody keeps: removed when it ends, or by the next one where it was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "haywain-demo-"
_LOCK = "demo.lock"


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a new directory under the system's temporary one, for as long as the block lasts."""
    remove_dead()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with (folder / f"{_LOCK}.new").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(lock.name, folder / _LOCK)  # locked before another demo can see it
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_dead() -> None:
    """Remove the directories of this user's demos that no process has locked any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            is_ours = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if is_ours and _is_dead(folder / _LOCK):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another demo has just removed it
            continue


def _is_dead(path: Path) -> bool:
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
