"""The agent is small: it runs on devices."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.agent.conftest import Setup, connected
from tests.agent.numbered import Fault, NumberedListener
from tests.functional.program import until
from tests.house.test_imports import HEAVY, loaded

MOST_KIB = 40 << 10


def resident_kib(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def test_agent_with_all_sources_stays_below_40_mb(
    setup: Setup, listener: NumberedListener, tmp_path: Path, free_port: int
) -> None:
    """Its peak, that is, with megabytes read, spooled, sent and refused."""
    (tmp_path / "files").mkdir()
    for number in range(20):
        (tmp_path / "files" / f"{number}.wav").write_bytes(os.urandom(1 << 20))
        (tmp_path / f"{number}.log").write_bytes(b"%d of the lines\n" % number * 20_000)
    setup.write(
        f'tail]\ntype = "tail"\nfiles = ["{tmp_path}/*.log"]\ntag = "{{stem}}"\npoll_s = 0.05',
        f'folder]\ntype = "folder"\nfolder = "{tmp_path}/files"\nsettle_s = 0',
        'command]\ntype = "command"\ncommand = ["echo", "hello"]\ninterval_s = 0.1\ntag = "command"',
        f'pull]\ntype = "pull"\nurls = ["{listener.url}/none"]\ninterval_s = 0.1',
        'resource]\ntype = "resource"\ninterval_s = 0.05',
        'stdin]\ntype = "stdin"\ntag = "stdin"',
        f'forward]\ntype = "forward"\nport = {free_port}',
    )
    listener.faults.extend([Fault(503), Fault(cut="after")])
    agent = subprocess.Popen(
        [sys.executable, "-m", "haywain", "agent", "--config", str(setup.path)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert agent.stdin is not None
        agent.stdin.write(b"a line\n" * 10_000)
        agent.stdin.close()
        with until(lambda: connected(free_port), "the agent's listener") as client:
            client.send("forward", os.urandom(1 << 20), {"chunk": "one"})
            assert client.answer() == {"ack": "one"}
        until(lambda: all(len(listener.tag(f"{n}.wav")) == 1 << 20 for n in range(20)), "the files", 30)
        until(lambda: all(listener.tag(str(n)).endswith(b"\n") for n in range(20)), "the lines")
        until(lambda: listener.tag("command") and len(listener.tag("stdin")) == 70_000, "the rest")
        assert resident_kib(agent.pid) < MOST_KIB
    finally:
        agent.terminate()
        assert agent.wait(20) == 0


def test_agent_imports_nothing_heavy() -> None:
    code = "import haywain.cli.agent; from haywain.agent import source as s"
    assert not loaded(f"{code}; [s.source_class(t) for t in s.source_types()]") & (
        HEAVY | {"numpy", "rich", "asyncio"}
    )
