"""The agent and the portal, both killed at random, over a wire that loses answers: each record once."""

import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.program import AgentProgram
from tests.functional.program import Client, Make, Program, until
from tests.functional.wire import Wire

KILLS = int(os.environ.get("HAYWAIN_KILLS", "40"))


class Plant:
    """What an agent reads, and what must arrive of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines = {"north": b"", "south": b""}
        self.files: dict[str, bytes] = {}
        folder.mkdir()

    def write(self, records: int) -> None:
        """Add lines to each log, and a file."""
        for name, before in self.lines.items():
            start = before.count(b"\n")
            new = b"".join(b"%s %07d\n" % (name.encode(), n) for n in range(start, start + records))
            with (self.folder / f"{name}.log").open("ab") as file:
                file.write(new)
            self.lines[name] += new
        name = f"{len(self.files)}.wav"
        self.files[name] = os.urandom(30_000)
        (self.folder / name).write_bytes(self.files[name])

    def rotate(self) -> None:
        """Rename each log, as logrotate does."""
        for name in self.lines:
            number = len(list(self.folder.glob(f"{name}.log.*")))
            for old in range(number, 0, -1):
                (self.folder / f"{name}.log.{old}").rename(self.folder / f"{name}.log.{old + 1}")
            (self.folder / f"{name}.log").rename(self.folder / f"{name}.log.1")

    @property
    def expected(self) -> dict[str, bytes]:
        """Return what must stand under each tag."""
        return {f"plant.{name}": data for name, data in (self.lines | self.files).items()}


def configure(folder: Path, url: str, token: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(f"""
[portal]
url = "{url}"
token = "{token}"
[spool]
folder = "spool"
keep_bytes = 0
[sources.logs]
type = "tail"
files = ["{folder}/plant/*.log"]
tag = "plant.{{stem}}"
poll_s = 0.02
rotate_wait_s = 0.1
frame_bytes = 4096
[sources.files]
type = "folder"
folder = "{folder}/plant"
match = ["*.wav"]
tag = "plant.{{name}}"
settle_s = 0
poll_s = 0.02
frame_bytes = 8192
""")
    return path


def token_of(client: Client) -> str:
    made = client.make("token_module", reference="plant", login="admin", scopes=["ingest:default"])
    return str(made["secret"])


def stored(client: Client) -> dict[str, bytes]:
    """Return what stands under each tag of the plant."""
    found = client.search(portal_type="Data Stream", reference="plant.%", limit=1000)["items"]
    return {item["reference"]: client.data(item["path"]) for item in found}


def wait_for(client: Client, plant: Plant) -> None:
    """Wait until as many bytes are there as must be."""
    wanted = sum(map(len, plant.expected.values()))

    def size() -> int:
        found = client.search(portal_type="Data Stream", reference="plant.%", limit=1000)["items"]
        return sum(item["size"] for item in found)

    until(lambda: size() >= wanted, "all bytes", 40)


@pytest.fixture
def agents() -> Iterator[list[AgentProgram]]:
    made: list[AgentProgram] = []
    yield made
    for agent in made:
        agent.kill()


def run(
    folder: Path, program: Program, agents: list[AgentProgram], *, kills: int, records: int, seed: int
) -> None:
    """Kill, stop and cut at random while records come; then all must be there once, in order."""
    chosen, plant = random.Random(seed), Plant(folder / "plant")
    program.start()
    port = program.port
    with Wire(port, seed) as wire:
        agent = AgentProgram(configure(folder, wire.url, token_of(program.client())))
        agents.append(agent)
        agent.start()
        for number in range(kills):
            plant.write(records)
            wire.lost_questions, wire.lost_answers = chosen.choice([(0, 0), (0, 0.3), (0.2, 0.1)])
            seen = wire.passed
            until(lambda seen=seen: wire.passed > seen + 2, "some answers", 40)
            kind = number % 3
            if kind == 0:
                agent.kill()
                plant.rotate()
                agent.start()
            elif kind == 1:
                program.kill()
                plant.write(records)
                program.start(port)
            else:
                agent.send(signal.SIGSTOP)
                program.kill()
                program.start(port)
                agent.send(signal.SIGCONT)
        wire.lost_questions = wire.lost_answers = 0
        assert agent.stop() == 0
        assert agent.start("--once").wait() == 0, agent.log
    assert stored(program.client()) == plant.expected
    assert "MISSING" not in agent.log and "Traceback" not in agent.log, agent.log


def test_kills_and_lost_answers_lose_and_double_nothing(
    folder: Path, make: Make, agents: list[AgentProgram]
) -> None:
    run(folder, make(), agents, kills=2, records=500, seed=3)


@pytest.mark.campaign
@pytest.mark.timeout(7200)
def test_many_kills_and_lost_answers_lose_and_double_nothing(
    folder: Path, make: Make, agents: list[AgentProgram]
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    run(folder, make(), agents, kills=KILLS, records=5000, seed=seed)


@pytest.mark.campaign
@pytest.mark.timeout(300)
@pytest.mark.parametrize("starts_anew", [False, True])
def test_portal_restored_from_a_backup_is_sent_what_it_lost(
    folder: Path, make: Make, agents: list[AgentProgram], starts_anew: bool
) -> None:
    plant, program = Plant(folder / "plant"), make().start()
    agent = AgentProgram(configure(folder, program.url, token_of(program.client())))
    agent.config.write_text(agent.config.read_text().replace("keep_bytes = 0", ""))
    agents.append(agent)
    port = program.port
    plant.write(300)
    assert agent.start("--once").wait() == 0
    assert program.stop() == 0
    backup = folder / "copy"
    shutil.copytree(program.data, backup)
    program.start(port)
    agent.start()
    plant.write(300)
    wait_for(program.client(), plant)
    if starts_anew:
        assert agent.stop() == 0
    assert program.stop() == 0
    shutil.rmtree(program.data)
    backup.rename(program.data)
    program.start(port)
    plant.write(300)
    if starts_anew:
        agent.start()
    wait_for(program.client(), plant)
    assert stored(program.client()) == plant.expected
    assert agent.stop() == 0
    assert "was set back" in agent.log and "MISSING" not in agent.log
