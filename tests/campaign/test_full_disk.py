"""A disk of 64 MiB that is filled and freed, over and over: clear errors, nothing lost, no restart."""

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from tests.campaign.conftest import Agents
from tests.functional.program import Program, until

import haywain
from haywain.errors import TemporaryError
from haywain.settings import load
from haywain.soundness import verify
from haywain.values import KIB, MIB

TIMES = int(os.environ.get("HAYWAIN_FULL_DISKS", "20"))
SIZE, ROOM = 64 * MIB, 3 * MIB // 2
REFUSALS = 25
"""So often all agents together are refused before the disk is freed."""

many = pytest.mark.parametrize(
    "times",
    [
        pytest.param(3, id="few"),
        pytest.param(TIMES, marks=[pytest.mark.campaign, pytest.mark.timeout(60 + 30 * TIMES)], id="many"),
    ],
)


class Disk:
    """A file system that a file fills; what is `freed` is taken from that file."""

    def __init__(self, path: Path) -> None:
        self.path, self._filler = path, path / "filler"
        self._filler.touch()

    def fill(self, left: int = 0) -> None:
        """Leave so many bytes, or as few as the file system can."""
        free = shutil.disk_usage(self.path).free
        size = self._filler.stat().st_size + free - left
        with self._filler.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(size // 4096 * 4096, 4096))

    def free(self, size: int = ROOM) -> None:
        """Make room for so many bytes."""
        os.truncate(self._filler, max(self._filler.stat().st_size - size, 0))


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A tmpfs; skip where that may not be mounted."""
    with TemporaryDirectory(prefix="haywain-full-") as path, ExitStack() as undo:
        if os.getuid() != 0:
            pytest.skip("mounting a small disk needs root")
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", path]
        done = subprocess.run(mount, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no tmpfs may be mounted here: {done.stderr.strip()}")
        undo.callback(subprocess.run, ["umount", "--lazy", path], check=True)
        yield Disk(Path(path))


@many
def test_agents_are_told_to_come_again_and_lose_nothing(
    disk: Disk, report: Callable[..., None], times: int
) -> None:
    with Program(disk.path / "var") as program:
        agents, pid = Agents(program), program.pid
        disk.fill(ROOM)
        agents.start()
        retries = lambda: sum(agent.retries for agent in agents.all)  # noqa: E731
        try:
            for _ in range(times):
                before = retries()
                until(lambda before=before: retries() > before + REFUSALS, "a full disk", 60)  # type: ignore[misc]
                disk.free()
            answer = until(lambda: _refused(program), "a refusal that says why", 60)
            assert "disk is full" in answer or "disk is almost full" in answer
        finally:
            disk.free(SIZE)
            agents.finish()
        assert program.pid == pid and program.stop() == 0
        assert "Traceback" not in program.log, program.log
        checked = agents.check()
        assert verify(load(data=program.data)).ok
        report(filled=times, records=checked, refused=retries())


def _refused(program: Program) -> str:
    """Return why an append was refused, "" if it was not."""
    client = program.client()
    answer = client.ingest("refused", b"x" * 64 * KIB)
    client.close()
    return "" if answer.status == 200 else answer.body.decode()


class Work:
    """Writes to a stream and an array, each step a transaction, and knows what must be there."""

    def __init__(self, portal: Any, random: random.Random) -> None:
        self.portal, self.random = portal, random
        self.stream, self.array = portal.new("Data Stream"), portal.new("Data Array")
        self.array.create(shape=(0, 2), dtype="<i8")
        portal.commit()
        self.bytes, self.rows = b"", np.zeros((0, 2), "<i8")

    def step(self) -> bool:
        """Do something; return whether it was kept.  A full disk is an error that says so."""
        kind = self.random.choice(["append", "append", "small", "small", "many", "assign", "view", "seal"])
        try:
            expected = getattr(self, kind)()
            self.portal.commit()
        except (OSError, TemporaryError) as error:
            self.portal.abort()
            is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            assert is_full or "full" in str(error), repr(error)
            return False
        self.bytes, self.rows = expected
        return True

    def check(self) -> None:
        """Compare what is there."""
        self.portal.abort()
        assert self.stream.read() == self.bytes
        assert np.array_equal(self.array[:], self.rows)

    def append(self) -> tuple[bytes, Any]:
        data = self.random.randbytes(self.random.randint(1, 100 * KIB))
        self.stream.append(data)
        return self.bytes + data, self.rows

    def rows_of(self, count: int) -> Any:
        return np.arange(2 * count).reshape(count, 2) + self.random.randrange(1000)

    def _grow(self, rows: Any) -> tuple[bytes, Any]:
        self.array.append(rows)
        return self.bytes, np.concatenate([self.rows, rows])

    def small(self) -> tuple[bytes, Any]:
        return self._grow(self.rows_of(self.random.randint(1, 2000)))

    def many(self) -> tuple[bytes, Any]:
        return self._grow(self.rows_of(70_000))

    def assign(self) -> tuple[bytes, Any]:
        rows = self.rows.copy()
        rows[: len(rows) // 2] = 7
        self.array[: len(rows) // 2] = 7
        return self.bytes, rows

    def view(self) -> tuple[bytes, Any]:
        rows = self.rows.copy()
        rows[::600] += 1
        view = self.array[:]
        view[::600] += 1
        return self.bytes, rows

    def seal(self) -> tuple[bytes, Any]:
        self.stream._stream.close_tail()
        for start in self.stream._stream.unsealed():
            self.stream._stream.seal(start)
        return self.bytes, self.rows


@many
def test_streams_and_arrays_stay_as_they_were(disk: Disk, report: Callable[..., None], times: int) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    kept = refused = 0
    with haywain.open(str(disk.path / "var")) as portal:
        work = Work(portal, random.Random(seed))
        disk.fill(ROOM)
        for _ in range(times):
            for _ in range(400):
                if work.step():
                    kept += 1
                elif (refused := refused + 1) % 5 == 0:
                    break
            work.check()
            disk.free()
        disk.free(SIZE)
        assert work.step()
        work.check()
        del work
    assert verify(load(data=disk.path / "var")).ok
    report(filled=times, kept=kept, refused=refused)
