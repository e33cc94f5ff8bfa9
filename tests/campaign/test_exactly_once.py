"""Records of four agents while everything dies, hangs, fills up or answers in vain: each once, in order.

    HAYWAIN_RECORDS=1000000 pytest -n 0 -m campaign tests/campaign/test_exactly_once.py

The portal lies on a small disk of its own where root may mount one.  Between the agents and it is a wire that
cuts questions and answers, leaves connections open without an answer, or passes 9.6 kbit/s.
"""

import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.agent.program import AgentProgram
from tests.campaign.test_full_disk import Disk
from tests.functional.program import Program, until
from tests.functional.wire import Wire

from haywain.values import KIB, MIB

RECORDS = int(os.environ.get("HAYWAIN_RECORDS", "1000000"))
AGENTS, DISK_BYTES = 4, 1024 * MIB
KINDS = ("kill the portal", "kill an agent", "suspend an agent", "cut all", "fill the disk")
CONFIG = """
[portal]
url = "{url}"
token = "{token}"
timeout_s = 5
[spool]
folder = "{name}-spool"
keep_bytes = 0
[sources.log]
type = "tail"
files = ["{folder}/{name}.log"]
tag = "plant.{name}"
poll_s = 0.02
frame_bytes = {frame}
"""


class Writer:
    """An agent, and the log that it follows."""

    def __init__(self, folder: Path, number: int, url: str, token: str, frame: int) -> None:
        self.name, self.count = f"log-{number}", 0
        self.path, config = folder / f"{self.name}.log", folder / f"{self.name}.toml"
        config.write_text(CONFIG.format(url=url, token=token, name=self.name, folder=folder, frame=frame))
        self.path.touch()
        self.agent = AgentProgram(config).start()

    def write(self, records: int) -> None:
        """Append so many to the log."""
        with self.path.open("a", encoding="ascii") as file:
            file.writelines(f"{self.name} {self.count + n:08d}\n" for n in range(records))
        self.count += records


@pytest.fixture
def place() -> Iterator[tuple[Path, Disk | None]]:
    """A directory for the portal; on a disk of its own where one may be mounted."""
    with TemporaryDirectory(prefix="haywain-once-") as path, ExitStack() as undo:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", path]
        if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
            yield Path(path), None
            return
        undo.callback(subprocess.run, ["umount", "--lazy", path], check=True)
        yield Path(path), Disk(Path(path))


class Trial:
    """A portal, a wire, agents, and what is done to them."""

    def __init__(self, program: Program, wire: Wire, disk: Disk | None, chosen: random.Random) -> None:
        self.program, self.wire, self.disk, self.random = program, wire, disk, chosen
        self.writers: list[Writer] = []
        self.port, self.done = program.port, Counter[str]()

    def turn(self, kind: str, records: int) -> None:
        """Let records come, do one thing, and wait until something arrives again."""
        if kind == "fill the disk" and self.disk is None:
            kind = "kill the portal"
        self.wire.mode = self.random.choice(("", "", "dead", "slow"))
        self.wire.lost_questions, self.wire.lost_answers = self.random.choice([(0, 0), (0, 0.3), (0.2, 0.1)])
        for writer in self.writers:
            writer.write(records)
        writer = self.random.choice(self.writers)
        if kind == "kill the portal":
            self.program.kill()
            self.program.start(self.port)
        elif kind == "kill an agent":
            writer.agent.kill()
            writer.agent.start()
        elif kind == "suspend an agent":
            writer.agent.send(signal.SIGSTOP)
            writer.write(records)
            self._arrive(1)
            writer.agent.send(signal.SIGCONT)
        elif kind == "fill the disk" and self.disk is not None:
            self._fill(self.disk)
            self._arrive(3)
            self.disk.free(DISK_BYTES)
        else:
            self.wire.cut()
        self.wire.mode = ""
        self._arrive(2)
        self.done[kind] += 1

    def _fill(self, disk: Disk) -> None:
        """Leave less than the portal keeps free; it writes meanwhile."""
        for left in (MIB, 2 * MIB, 4 * MIB, 8 * MIB):
            with suppress(OSError):
                disk.fill(left)
                return

    def _arrive(self, answers: int) -> None:
        """Wait for some answers, also such that say no."""
        seen = self.wire.passed
        mode, self.wire.mode = self.wire.mode, "" if self.wire.mode == "dead" else self.wire.mode
        for writer in self.writers:
            writer.write(1)
        until(lambda: self.wire.passed >= seen + answers, "answers", 90)
        self.wire.mode = mode


@pytest.mark.parametrize(
    ("records", "turns", "frame"),
    [
        pytest.param(50_000, 10, 4 * KIB, marks=pytest.mark.timeout(240), id="fifty thousand"),
        pytest.param(
            RECORDS, 110, 4 * KIB, marks=[pytest.mark.campaign, pytest.mark.timeout(7200)], id="a million"
        ),
    ],
)
def test_each_record_is_there_once_and_in_order(
    place: tuple[Path, Disk | None],
    tmp_path: Path,
    report: Callable[..., None],
    records: int,
    turns: int,
    frame: int,
) -> None:
    seed = int(os.environ.get("HAYWAIN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"HAYWAIN_SEED={seed}")
    chosen, (folder, disk) = random.Random(seed), place
    kinds = [KINDS[n % len(KINDS)] for n in range(turns)]
    chosen.shuffle(kinds)
    with ExitStack() as stack:
        program = stack.enter_context(Program(folder / "var"))
        client = program.client()
        token = client.make("token_module", reference="plant", login="admin", scopes=["ingest:default"])
        wire = stack.enter_context(Wire(program.port, seed))
        trial = Trial(program, wire, disk, chosen)
        for number in range(AGENTS):
            trial.writers.append(Writer(tmp_path, number, wire.url, token["secret"], frame))
            stack.callback(trial.writers[-1].agent.kill)
        for kind in kinds:
            trial.turn(kind, records // AGENTS // (turns + 1))
        wire.lost_questions = wire.lost_answers = 0
        for writer in trial.writers:
            writer.write(max(records // AGENTS - writer.count, 0))
            assert writer.agent.stop() in (0, -signal.SIGTERM), writer.agent.log  # it may just be starting
            assert writer.agent.start("--once").wait(120) == 0, writer.agent.log
        report(seed=seed, records=sum(w.count for w in trial.writers), **dict(trial.done))
        for writer in trial.writers:
            (found,) = client.search(portal_type="Data Stream", reference=f"plant.{writer.name}")["items"]
            expected = writer.path.read_bytes()
            assert client.data(found["path"]) == expected, f"HAYWAIN_SEED={seed}"
            assert "MISSING" not in writer.agent.log, writer.agent.log
        client.close()
