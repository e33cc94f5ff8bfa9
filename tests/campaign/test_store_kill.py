"""Kill -9 in the store: at each system call of append, seal, an array's commit and pack, and at random."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.campaign.store_work import WORKS, Work, check

from haywain.settings import load
from haywain.soundness import verify

KILLS = int(os.environ.get("HAYWAIN_KILLS", "200"))
CALLS = (
    "write,pwrite64,writev,pwritev,sendfile,copy_file_range,fsync,fdatasync,ftruncate,openat,rename,renameat,renameat2,"
    "link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,chmod,fchmod,fchmodat,flock,close"
)
"""What may change files, or tells that they are changed."""

ROOT = Path(__file__).parents[2]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A database with something to seal, to change and to pack."""
    work = Work(tmp_path / "prepared")
    for _ in range(3):
        work.append()
        work.array()
        work.seal()
    work.append()
    work.close()
    return tmp_path / "prepared"


def start(directory: Path, name: str) -> "subprocess.Popen[str]":
    """Start a process; return it once it has the database open."""
    command = [sys.executable, "-m", "tests.campaign.store_work", str(directory), name]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("open")
    return process


def told(process: "subprocess.Popen[str]") -> int:
    """Return the last commit that a dead process told of, 0 if none."""
    assert process.stdout is not None
    lines = process.stdout.read().split("\n")[:-1]
    return int(lines[-1].split()[1]) if lines else 0


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait(20)
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def killed_at(directory: Path, name: str, number: int) -> tuple[bool, int]:
    """Do the work, killed as it enters its n-th system call; return whether it was, and what it told."""
    process = start(directory, name)
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-p", str(process.pid), "-e", f"trace={CALLS}"]
    command += ["-e", f"inject={CALLS}:signal=SIGKILL:when={number}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            _wait_until_traced(process.pid)
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("go\n")
            line = process.stdout.readline()
            if line.endswith("\n"):
                return False, int(line.split()[1])
            return process.wait(20) == -signal.SIGKILL, 0
        finally:
            end(process)
            tracer.terminate()


def _wait_until_traced(pid: int) -> None:
    deadline = time.monotonic() + 20
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "strace does not attach"


def can_trace() -> bool:
    """Return whether strace is here and may attach to a process of ours."""
    if shutil.which("strace") is None:
        return False
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        tried = subprocess.run(
            ["timeout", "-s", "INT", "2", "strace", "-qq", "-o", os.devnull, "-p", str(process.pid)],
            capture_output=True,
        )
        process.kill()
    return b"ptrace" not in tried.stderr


STEPS = [
    pytest.param(23, id="small", marks=pytest.mark.timeout(240)),
    pytest.param(1, id="each", marks=[pytest.mark.campaign, pytest.mark.timeout(7200)]),
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", WORKS)
def test_a_kill_at_each_system_call_loses_nothing(
    prepared: Path, tmp_path: Path, report: Callable[..., None], name: str, step: int
) -> None:
    if not can_trace():
        pytest.skip("strace is missing, or may not attach to a process here")
    before = check(prepared, 0)
    number, was_killed, whole = 1 + step // 2, True, 0
    while was_killed:
        copy = shutil.copytree(prepared, tmp_path / f"{name}-{number}")
        was_killed, acknowledged = killed_at(copy, name, number)
        found = check(copy, acknowledged)
        assert found in (before, before + (name in ("append", "array")))
        whole += found > before
        _check_left(copy)
        shutil.rmtree(copy)
        number += step
    assert number > step + 1
    report(work=name, calls=number - step - 1, kept_unacknowledged=whole)


def _check_left(directory: Path) -> None:
    """Commit and pack after a kill: all that it left behind goes."""
    work = Work(directory)
    work.append()
    work.pack()
    work.close()
    found = verify(load(data=directory))
    assert found.ok and not found.checked["orphan_files"]
    left = {path.name for path in directory.iterdir()} - {
        "Data.fs", "Data.fs.index", "Data.fs.lock", "Data.fs.tmp", "blobs", "pack.lock",
    }  # fmt: skip
    assert not [name for name in left if not name.startswith("Data.fs.t")]


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(3, id="small"),
        pytest.param(KILLS, marks=[pytest.mark.campaign, pytest.mark.timeout(120 + 20 * KILLS)], id="many"),
    ],
)
def test_kills_at_random_lose_nothing(prepared: Path, report: Callable[..., None], kills: int) -> None:
    """Of a process that appends, seals, changes an array and packs, again and again."""
    moments, acknowledged, commits = random.Random(kills), 0, 0
    for number in range(kills):
        process = start(prepared, "mix")
        assert process.stdin is not None
        process.stdin.write("go\n")
        time.sleep(moments.uniform(0.01, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        acknowledged = max(acknowledged, told(process))
        end(process)
        commits = check(prepared, acknowledged)
        if number % 25 == 24:
            _check_left(prepared)
            commits = check(prepared, commits)
        acknowledged = commits
    assert commits > kills
    report(kills=kills, commits=commits)
