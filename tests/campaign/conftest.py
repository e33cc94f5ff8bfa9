"""A program that may be killed, agents that send to it, and what must be there in the end."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.campaign.records import by_sender
from tests.campaign.senders import Appender, Replacer, Sender, Uploader
from tests.functional.program import Program

import haywain


class Agents:
    """Three agents of the ingestion URL, two of them with one tag, two appenders, a replacer, an uploader."""

    def __init__(self, program: Program, *others: Program, data: Path | None = None) -> None:
        """Make streams and a token; nobody sends yet.

        Where several programs have one database, each agent keeps to one; `data` is where it lies.
        """
        self._data = program.data if data is None else data
        urls = [each.url for each in (program, *others)]
        admin = program.client()
        token = admin.make("token_module", reference="agents", login="admin", scopes=["admin", "ingest:*"])
        self.headers = {"Authorization": f"Bearer {token['secret']}"}
        self.streams = {name: admin.stream(name) for name in ("appended", "replaced", "uploaded")}
        admin.close()
        appended, replaced, uploaded = self.streams.values()
        kinds: list[tuple[type[Sender], str]] = [
            (Sender, "shared"),
            (Sender, "shared"),
            (Sender, "alone.flow"),
        ]
        kinds += [(Appender, appended), (Appender, appended), (Replacer, replaced), (Uploader, uploaded)]
        self.all = [
            kind(n, urls[n % len(urls)], self.headers, target) for n, (kind, target) in enumerate(kinds)
        ]

    def start(self) -> None:
        """Let them send."""
        for agent in self.all:
            agent.start()

    def finish(self) -> None:
        """Let them finish: afterwards all that they sent is acknowledged."""
        for agent in self.all:
            agent.stopping.set()
        for agent in self.all:
            agent.finish()

    def check(self) -> int:
        """Read all streams of the stopped program; return the number of records, each there exactly once."""
        with haywain.open(str(self._data)) as portal:
            for agent in self.all:
                name = next((n for n, path in self.streams.items() if path == agent.target), agent.target)
                (stream,) = portal.catalog(portal_type="Data Stream", reference=name)
                assert portal.catalog(reference=name, size=stream.size).count() == 1
                if isinstance(agent, Replacer):
                    assert stream.read() == agent.last
                    continue
                found = by_sender(stream.open())[agent.number]
                assert found == list(range(agent.sent)), f"agent {agent.number} sent {agent.sent} records"
        return sum(agent.sent for agent in self.all)


@pytest.fixture
def report(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Print the figures of a campaign; the small runs are silent."""

    def tell(**figures: object) -> None:
        if request.node.get_closest_marker("campaign"):
            with capsys.disabled():
                print(f"\n{request.node.name}:", ", ".join(f"{k} {v}" for k, v in figures.items()))

    return tell


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is fsynced: for tests that commit or cut hundreds of times."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(sys.modules["ZODB.FileStorage.FileStorage"], "fsync", None)


@pytest.fixture
def program() -> Iterator[Program]:
    """A program on a directory of its own, which runs."""
    with TemporaryDirectory(prefix="haywain-campaign-") as path, Program(Path(path) / "var") as running:
        yield running


@pytest.fixture
def agents(program: Program) -> Iterator[Agents]:
    """Agents of the running program."""
    made = Agents(program)
    yield made
    for agent in made.all:
        agent.stopping.set()
