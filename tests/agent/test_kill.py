"""Kill -9 of the agent at any moment, with faults on the wire and rotation: nothing lost, nothing twice."""

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import Setup
from tests.agent.numbered import Fault, NumberedListener
from tests.agent.program import AgentProgram
from tests.functional.program import run as command
from tests.functional.program import until

KILLS = int(os.environ.get("HAYWAIN_KILLS", "60"))
LOGS = ("a", "b", "c")


class Writer:
    """Writes numbered lines to some logs and rotates them, now and then."""

    def __init__(self, folder: Path, chosen: random.Random) -> None:
        self.folder, self._random = folder, chosen
        self.lines = dict.fromkeys(LOGS, b"")

    def write(self) -> None:
        for name in LOGS:
            start = self.lines[name].count(b"\n")
            numbers = range(start, start + 150)
            new = b"".join(b"%s %06d\n" % (name.encode(), number) for number in numbers)
            with (self.folder / f"{name}.log").open("ab") as file:
                file.write(new)
            self.lines[name] += new

    def rotate(self) -> None:
        name = self._random.choice(LOGS)
        for number in range(20, 0, -1):
            old = self.folder / f"{name}.log.{number}"
            if old.exists():
                old.rename(self.folder / f"{name}.log.{number + 1}")
        (self.folder / f"{name}.log").rename(self.folder / f"{name}.log.1")
        (self.folder / f"{name}.log").touch()


@pytest.fixture
def agent(setup: Setup) -> Iterator[AgentProgram]:
    setup.write(
        f'logs]\ntype = "tail"\nfiles = ["{setup.folder}/*.log"]\ntag = "{{stem}}"\npoll_s = 0.01\n'
        "frame_bytes = 1024\nrotate_wait_s = 0.05",
        f'files]\ntype = "folder"\nfolder = "{setup.folder}"\nmatch = ["*.wav"]\nsettle_s = 0\n'
        "poll_s = 0.01\nframe_bytes = 1024",
        spool='bytes = "4 MiB"\nkeep_bytes = 0',
    )
    program = AgentProgram(setup.path)
    yield program
    program.kill()


def test_kills_faults_and_rotation_lose_and_double_nothing(
    setup: Setup, listener: NumberedListener, agent: AgentProgram
) -> None:
    run(5, 5, setup, listener, agent)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_many_kills_lose_and_double_nothing(
    setup: Setup, listener: NumberedListener, agent: AgentProgram
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    run(KILLS, seed, setup, listener, agent)


def run(kills: int, seed: int, setup: Setup, listener: NumberedListener, agent: AgentProgram) -> None:
    chosen = random.Random(seed)
    writer, wavs = Writer(setup.folder, chosen), dict[str, bytes]()
    for start in range(kills):
        writer.write()
        wavs[f"{start}.wav"] = chosen.randbytes(20_000)
        (setup.folder / f"{start}.wav").write_bytes(wavs[f"{start}.wav"])
        listener.faults.extend(chosen.choices([Fault(cut="after"), Fault(cut="before"), Fault(503)], k=3))
        wait_for(listener, chosen.randrange(1, 30), agent.start)
        if start % 3 == 2:
            agent.send(signal.SIGSTOP)
            writer.write()
            writer.rotate()
            wait_for(listener, 1, lambda: agent.send(signal.SIGCONT))
        agent.kill()
    listener.faults.clear()
    assert agent.start("--once").wait() == 0, agent.log
    assert {tag: data for (_, tag), data in listener.streams.items()} == writer.lines | wavs
    assert "MISSING" not in agent.log and "Traceback" not in agent.log
    bodies: dict[tuple[str, int, int], bytes] = {}
    for sent in listener.requests:
        assert bodies.setdefault((sent.tag, sent.epoch, sent.seq), sent.body) == sent.body
    assert listener.most_under_way == 1


def wait_for(listener: NumberedListener, requests: int, start: Callable[[], object]) -> None:
    """Start something, and wait until so many requests have come."""
    wanted = len(listener.requests) + requests
    start()
    until(lambda: len(listener.requests) >= wanted, "some requests", 30)


def test_sigterm_spools_and_sends_what_was_read(
    setup: Setup, listener: NumberedListener, agent: AgentProgram
) -> None:
    writer = Writer(setup.folder, random.Random(1))
    writer.write()
    agent.start()
    until(lambda: listener.tag("a"), "the first chunk")
    assert agent.stop() == 0
    assert "Traceback" not in agent.log
    assert agent.start("--once").wait() == 0
    assert {tag: data for (_, tag), data in listener.streams.items()} == writer.lines


def test_second_agent_on_the_spool_ends_with_75(
    setup: Setup, listener: NumberedListener, agent: AgentProgram
) -> None:
    (setup.folder / "a.log").write_bytes(b"1\n")
    agent.start()
    until(lambda: listener.tag("a"), "the first")
    second = AgentProgram(setup.path)
    assert second.start().wait() == 75
    assert "Another agent runs on the spool" in second.log


def test_status_of_a_running_agent_tells_of_each_source(
    setup: Setup, listener: NumberedListener, agent: AgentProgram
) -> None:
    (setup.folder / "a.log").write_bytes(b"1\n")
    agent.start()

    def sent() -> Any:
        told = command("agent", "--config", setup.path, "--status", "--json")
        status = json.loads(told.stdout) if told.returncode == 0 else {"sources": {}}
        return status["sources"].get("logs", {}).get("sent_bytes") and status

    status = until(sent, "it to be told that the line was sent", 30)
    logs = status["sources"]["logs"]
    assert status["running"] and not status["waiting_chunks"]
    assert (logs["read_bytes"], logs["sent_bytes"], logs["waiting_bytes"]) == (2, 2, 0)
    assert logs["answer"] == "stored" and logs["sent"].startswith("a ")
    assert logs["read_item"] == str(setup.folder / "a.log") and not logs["last_error"]


def test_fenced_agent_ends_with_78(setup: Setup, listener: NumberedListener, agent: AgentProgram) -> None:
    (setup.folder / "a.log").write_bytes(b"1\n")
    agent.start()
    until(lambda: listener.tag("a"), "the first")
    ((key, (epoch, _)),) = listener.state.items()
    listener.state[key] = epoch + 10**7, 0
    with (setup.folder / "a.log").open("ab") as file:
        file.write(b"2\n")
    assert agent.wait() == 78
    assert "Another agent runs on a copy of the spool" in agent.log
