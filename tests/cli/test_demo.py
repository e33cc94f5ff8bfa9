"""The demo's agent: what it has sampled is stored before the server stops."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from haywain.agent.sender import ResourceSender
from haywain.app import Serving
from haywain.cli import demo
from haywain.errors import TemporaryError
from haywain.settings import load


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    with Serving(load(data=tmp_path / "var", port=0, admin_password="correct horse")) as opened:
        yield opened


def test_last_samples_are_stored_before_the_server_stops(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sampled = threading.Semaphore(0)
    monkeypatch.setattr(demo, "recordings", lambda: iter(()))
    monkeypatch.setattr(demo, "ResourceSender", partial(ResourceSender, interval_s=0.01, chunk_records=10**6))
    agent = demo.Agent(serving)
    collect = agent._resources._collect
    monkeypatch.setattr(agent._resources, "_collect", lambda: (collect(), sampled.release()))
    server = threading.Thread(target=serving.run)
    server.start()
    agent.start()
    assert all(sampled.acquire(timeout=10) for _ in range(3))
    agent.stop()
    server.join(10)
    assert not server.is_alive() and not agent._resources.is_alive()
    with serving.site.open() as portal:
        assert [hit.size > 0 for hit in portal.catalog(reference="%.resource")] == [True]
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_stop_before_the_start_sends_nothing(serving: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    agent = demo.Agent(serving)
    agent.stop()
    agent.start()
    serving.run()
    agent.join(10)
    assert not agent.is_alive()
    assert "stored" not in capsys.readouterr().err


def test_stop_ends_a_pause_between_two_tries(serving: Serving) -> None:
    agent = demo.Agent(serving)
    agent.stop()
    with pytest.raises(TemporaryError):
        agent._sender._sleep(60)
