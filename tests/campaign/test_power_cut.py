"""Power cuts: the disk as it was at one moment, while a process works on it, has all that was acknowledged.

The disk is an image on an XFS that can clone files at once: a clone has the writes that had reached the disk,
and none of those that wait in memory.  It is mounted (the journal is replayed) and the database on it opened.
"""

import gc
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.campaign.store_work import check
from tests.campaign.test_store_kill import end, start

CUTS = int(os.environ.get("HAYWAIN_CUTS", "100"))
TOOLS = ("losetup", "mount", "umount", "mkfs.ext4", "mkfs.xfs")
SIZES = {"ext4": "256M", "xfs": "320M"}


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def mounted(image: Path, where: Path) -> Iterator[Path]:
    """Mount an image; an XFS may be a clone of one that is mounted."""
    where.mkdir(exist_ok=True)
    with ExitStack() as undo:
        loop = run("losetup", "-f", "--show", image)
        undo.callback(run, "losetup", "-d", loop)
        kind = run("blkid", "-o", "value", "-s", "TYPE", loop)
        run("mount", "-o", "nouuid" if kind == "xfs" else "defaults", loop, where)
        undo.callback(run, "umount", where)
        undo.callback(gc.collect)  # what is mapped keeps the file system busy
        yield where


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on which an XFS that clones files is mounted; skip where that may not be."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.getuid() != 0 or missing:
        pytest.skip(f"mounting an image needs root and {', '.join(missing) or 'no tool that is not here'}")
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="haywain-cut-") as path, ExitStack() as undo:
        image = Path(path) / "outer.img"
        run("truncate", "-s", "4G", image)
        try:
            run("mkfs.xfs", "-q", "-m", "reflink=1", image)
            folder = undo.enter_context(mounted(image, Path(path) / "outer"))
        except OSError as error:
            pytest.skip(f"no image may be mounted here: {error}")
        yield folder


class Writer:
    """A process that works on a database, and what it has acknowledged so far."""

    def __init__(self, directory: Path) -> None:
        """Start it; its lines are read as they come."""
        self.acknowledged = 0
        self.process = start(directory, "mix")
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                self.acknowledged = int(line.split()[1])

    def stop(self) -> None:
        """Kill it, so that the next one finds what it left."""
        self.process.kill()
        self.process.wait(20)
        self._reader.join()
        end(self.process)


@pytest.mark.campaign
@pytest.mark.timeout(600 + 20 * CUTS)
@pytest.mark.parametrize("kind", SIZES)
def test_a_power_cut_loses_nothing_acknowledged(folder: Path, report: Callable[..., None], kind: str) -> None:
    image, moments, found, new = folder / "disk.img", random.Random(CUTS), 0, 0
    run("truncate", "-s", SIZES[kind], image)
    run(f"mkfs.{kind}", "-q", image)
    with mounted(image, folder / "disk") as disk:
        (disk / "database").mkdir()
        for number in range(CUTS):
            if number % 10 == 0:  # else the array grows until the disk is full
                shutil.rmtree(disk / "database")
                (disk / "database").mkdir()
                found = 0
            writer = Writer(disk / "database")
            try:
                time.sleep(moments.uniform(0.05, 0.6))
                acknowledged = writer.acknowledged
                run("cp", "--reflink=always", image, folder / "cut.img")
            finally:
                writer.stop()
            with mounted(folder / "cut.img", folder / "cut") as cut:
                here = check(cut / "database", max(acknowledged, 0))
                new += here > found
            found = check(disk / "database", writer.acknowledged)
    assert new > CUTS // 4
    report(cuts=CUTS, file_system=kind, cuts_with_new_commits=new)
