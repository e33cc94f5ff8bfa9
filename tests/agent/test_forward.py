"""What fluent loggers send to the agent: in the spool before it is acknowledged, and there once."""

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from tests.agent.conftest import Setup, connected
from tests.agent.numbered import NumberedListener
from tests.forward.client import PAIR, Client
from tests.functional.program import until

from haywain.agent.sources import forward
from haywain.errors import InvalidError

Connect = Callable[[], Client]


def source(port: int, more: str = "") -> str:
    return f'fwd]\ntype = "forward"\nport = {port}\n{more}'


@pytest.fixture
def connect(free_port: int) -> Connect:
    """Connect to the agent, once it listens."""
    return lambda: until(lambda: connected(free_port), "the agent's listener")


def test_events_come_under_their_own_tag(
    setup: Setup, listener: NumberedListener, free_port: int, connect: Connect
) -> None:
    running = setup.start(source(free_port))
    with connect() as client:
        client.send("a.b", [[1, {"a": 1}]], {"chunk": "one"})
        assert client.answer() == {"ack": "one"}
        client.send("c", 1, {"a": 1})
        until(lambda: listener.tag("c") == PAIR, "events without a chunk")
    until(lambda: listener.tag("a.b") == PAIR, "events with one")
    running.stop()


def test_chunk_that_comes_again_is_kept_once_also_by_the_next_agent(
    setup: Setup, listener: NumberedListener, free_port: int, connect: Connect
) -> None:
    for _ in range(2):
        running = setup.start(source(free_port))
        for _ in range(2):
            with connect() as client:
                client.send("a", PAIR, {"chunk": "one"})
                assert client.answer() == {"ack": "one"}
                client.send("b", PAIR, {"chunk": "one"})
                assert client.answer() == {"ack": "one"}
        until(lambda: listener.tag("b") == PAIR, "the chunk")
        running.stop()
    assert listener.tag("a") == listener.tag("b") == PAIR


def test_old_chunks_are_forgotten(
    setup: Setup,
    listener: NumberedListener,
    free_port: int,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward, "KNOWN_CHUNKS", 3)
    running = setup.start(source(free_port))
    with connect() as client:
        for chunk in ("0", "1", "2", "3", "4", "2", "3", "4", "0"):
            client.send("a", msgpack.packb(int(chunk)), {"chunk": chunk})
            assert client.answer() == {"ack": chunk}
    until(lambda: listener.tag("a") == bytes([0, 1, 2, 3, 4, 0]), "the chunks")
    running.stop()


def test_who_knows_the_key_and_a_password_may_send(
    setup: Setup, listener: NumberedListener, free_port: int, connect: Connect
) -> None:
    more = 'shared_key = "key"\n[sources.fwd.users]\nalice = "secret"'
    running = setup.start(source(free_port, more))
    with connect() as client:
        assert client.shake_hands("key", "alice", "secret")[1] is True
        client.send("a", PAIR, {"chunk": "one"})
        assert client.answer() == {"ack": "one"}
    with connect() as client:
        assert client.shake_hands("key", "alice", "other")[1] is False
    until(lambda: listener.tag("a") == PAIR, "the chunk")
    running.stop()


def test_what_is_not_in_the_spool_is_not_acknowledged(
    setup: Setup, free_port: int, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = setup.start(source(free_port))
    with connect() as client:

        def fail(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("haywain.agent.source.Outlet.put", fail)
            client.send("a", PAIR, {"chunk": "one"})
            assert client.answer() is None
    running.stop()


@pytest.mark.parametrize(
    "options", [{"host": "0.0.0.0"}, {"users": {"a": "b"}}], ids=["everybody", "users-without-key"]
)
def test_listener_that_would_be_open_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidError, match="shared_key"):
        forward.Forward.describe(forward.Forward.Config(type="forward", **options))


def test_description_says_who_may_send() -> None:
    config = forward.Forward.Config(type="forward", shared_key="key", host="0.0.0.0")
    assert "who knows the shared key" in forward.Forward.describe(config)


def test_as_many_chunks_are_known_as_are_said_to_be(
    setup: Setup,
    listener: NumberedListener,
    free_port: int,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward, "KNOWN_CHUNKS", 10)
    running = setup.start(source(free_port))
    with connect() as client:
        for number in [*range(10), *range(10)]:
            client.send("a", msgpack.packb(number), {"chunk": str(number)})
            assert client.answer() == {"ack": str(number)}
    until(lambda: len(listener.tag("a") or b"") >= 10, "the chunks")
    running.stop()
    assert listener.tag("a") == bytes(range(10))
