"""What the agent's tests stand on: a portal of their own, spools, and sources that run in a thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.agent.numbered import NumberedListener
from tests.forward.client import Client
from tests.functional.program import until

from haywain.agent import backoff, delivery
from haywain.agent.config import AgentConfig, load_config
from haywain.agent.running import Agent


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """Let a server of the standard library serve."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def listener() -> Iterator[NumberedListener]:
    """A listener that stores numbered chunks."""
    with serving(NumberedListener()) as server:
        yield server


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses after failures."""
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(backoff, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(delivery, "REFUSED_PAUSE_S", 0.01)


class Running:
    """An agent in a thread of this process."""

    def __init__(self, config: AgentConfig, **options: Any) -> None:
        self.agent = Agent(config, **options)
        self.code: int | BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.code = self.agent.run()
        except BaseException as error:
            self.code = error

    def end(self) -> Any:
        """Wait for its end; return the exit code, or raise what it raised."""
        self._thread.join(20)
        assert not self._thread.is_alive()
        if isinstance(self.code, BaseException):
            raise self.code
        return self.code

    def stop(self) -> Any:
        self.agent.stop()
        return self.end()

    def quit(self) -> None:
        """End it, however it is."""
        self.agent.stop()
        self._thread.join(20)


def connected(port: int) -> Client | None:
    """Return a connection to an agent that listens for the forward protocol; None if it does not yet."""
    try:
        return Client(port)
    except ConnectionRefusedError:
        return None


class Setup:
    """A configuration in an empty folder, and agents that run by it."""

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        self.folder, self.url, self.spool = folder, url, folder / "spool"
        self.path = folder / "agent.toml"
        self._stack = stack

    def write(self, *sources: str, spool: str = "", portal: str = "") -> AgentConfig:
        """Write the configuration of these sources, each a table's text beginning with its name."""
        tables = "\n".join(f"[sources.{source.strip()}" for source in sources)
        head = f'[portal]\nurl = "{self.url}"\ntoken = "t0ken"\n{portal}\n'
        self.path.write_text(f'{head}[spool]\nfolder = "spool"\n{spool}\n{tables}\n')
        return load_config(self.path, {})

    def start(self, *sources: str, spool: str = "", portal: str = "", **options: Any) -> Running:
        """Start an agent with these sources."""
        running = Running(self.write(*sources, spool=spool, portal=portal), **options)
        self._stack.callback(running.quit)
        return running

    def once(self, *sources: str, **options: Any) -> Any:
        """Run an agent to its end; return its exit code."""
        return self.start(*sources, is_once=True, **{"give_up_s": 10, **options}).end()


@pytest.fixture
def setup(tmp_path: Path, listener: NumberedListener, soon: None) -> Iterator[Setup]:
    """An agent's folder and configuration, sending to the listener."""
    with ExitStack() as stack:
        yield Setup(tmp_path, listener.url, stack)


Until = Callable[[Callable[[], Any], str], Any]


@pytest.fixture
def wait_until() -> Until:
    """Wait for something, at most 15 s."""
    return until


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass in ten milliseconds for what waits for a file to rest."""
    real = time.monotonic
    monkeypatch.setattr("haywain.agent.follow.time.monotonic", lambda: real() * 100)
