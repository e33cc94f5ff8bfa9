"""The listener on real sockets: acks after the events are kept, and one bad client that hurts no other."""

import contextlib
import gzip
import logging
import select
import threading
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import msgpack
import pytest
from tests.forward.client import PAIR, Client, Taker

from haywain.errors import AddressError, ForbiddenError, InvalidError, PortInUseError, TemporaryError
from haywain.forward import Account, ForwardLimits, Listener, Security
from haywain.values import KIB, MIB

Start = Callable[..., int]
SMALL = {"message_bytes": MIB, "decoded_bytes": 2 * MIB, "memory_bytes": 6 * MIB}


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def start(taker: Taker) -> Iterator[Start]:
    """Start listeners; return their ports."""
    started: list[Listener] = []

    def start(security: Security | None = None, reject: Any = None, **limits: Any) -> int:
        quick: dict[str, Any] = {"refusal_s": 0.01, "room_s": 0.2} | limits
        listener = Listener(
            taker.deliver, port=0, security=security, reject=reject, limits=ForwardLimits(**quick)
        )
        started.append(listener)
        listener.start()
        return int(listener.port)

    yield start
    taker.may_go_on.set()
    for listener in started:
        listener.stop()


def test_ack_comes_after_the_events_are_kept(taker: Taker, start: Start) -> None:
    taker.may_go_on.clear()
    with Client(start()) as client:
        client.send("a.b", [[1, {"a": 1}]], {"chunk": "one"})
        assert taker.has_begun.wait(10)
        client.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.answer()
        client.socket.settimeout(10)
        taker.may_go_on.set()
        assert client.answer() == {"ack": "one"}
    assert taker.taken == [("a.b", PAIR, "one")]


def test_events_that_cannot_be_kept_now_get_no_ack(taker: Taker, start: Start) -> None:
    port = start()
    taker.failures = [TemporaryError("full")]
    with Client(port) as client:
        client.send("a", PAIR, {"chunk": "one"})
        assert client.answer() is None
    with Client(port) as client:
        client.send("a", PAIR, {"chunk": "one"})
        assert client.answer() == {"ack": "one"}
    assert taker.taken == [("a", PAIR, "one")]


def test_a_fault_of_the_taker_costs_one_connection(
    taker: Taker, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    port = start()
    taker.failures = [ZeroDivisionError()]
    with Client(port) as client, Client(port) as other:
        client.send("a", PAIR, {"chunk": "one"})
        assert client.answer() is None
        other.send("a", PAIR, {"chunk": "two"})
        assert other.answer() == {"ack": "two"}
    assert "ZeroDivisionError" in caplog.text


def test_events_without_a_chunk_are_gathered_by_tag(taker: Taker, start: Start) -> None:
    with Client(start()) as client:
        for tag in ("a", "a", "a", "b", "a"):
            client.send(tag, 1, {"a": 1})
        client.send("a", PAIR, {"chunk": "one"})
        assert client.answer() == {"ack": "one"}
    assert taker.body == 6 * PAIR
    assert [tag for tag, _ in groupby(tag for tag, _, _ in taker.taken[:-1])] == ["a", "b", "a"]
    assert {chunk for _, _, chunk in taker.taken[:-1]} == {None} and taker.taken[-1] == ("a", PAIR, "one")


def test_events_before_a_message_that_makes_no_sense_are_kept(taker: Taker, start: Start) -> None:
    with Client(start()) as client:
        client.raw(2 * msgpack.packb(["a", PAIR]) + msgpack.packb(["a", {}]))
        assert client.answer() is None
    assert taker.taken == [("a", 2 * PAIR, None)]


def test_so_many_events_are_gathered(taker: Taker, start: Start) -> None:
    with Client(start(gathered_bytes=2 * len(PAIR))) as client:
        client.raw(5 * msgpack.packb(["a", PAIR]))
        taker.wait_for(5 * PAIR)
    assert max(len(body) for _, body, _ in taker.taken) <= 2 * len(PAIR)


def test_events_without_a_chunk_are_tried_again_here(taker: Taker, start: Start) -> None:
    taker.failures = [TemporaryError("full"), TemporaryError("full")]
    with Client(start()) as client:
        client.send("a", 1, {"a": 1})
        taker.wait_for(PAIR)
        client.send("a", 1, {"a": 1})
        taker.wait_for(2 * PAIR)
    assert taker.tries >= 4


@pytest.mark.parametrize(
    "error", [TemporaryError("full"), ForbiddenError("no")], ids=["for-long", "for-ever"]
)
def test_events_that_are_lost_are_told(
    taker: Taker, start: Start, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    taker.failures = [error] * 100
    with Client(start(unacked_s=0)) as client:
        client.send("a", 1, {"a": 1})
        assert client.answer() is None
    assert f"{len(PAIR)} bytes of 'a'" in caplog.text and "are lost" in caplog.text


def test_compressed_events_are_decompressed(taker: Taker, start: Start) -> None:
    body = gzip.compress(PAIR) + gzip.compress(2 * PAIR)
    with Client(start()) as client:
        client.send("a", body, {"compressed": "gzip", "chunk": "one"})
        assert client.answer() == {"ack": "one"}
        client.send("a", body, {"compressed": "gzip"})
        taker.wait_for(6 * PAIR)


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(bytes(3 * MIB))], ids=["damaged", "bomb"])
def test_what_cannot_be_decompressed_is_put_aside(taker: Taker, start: Start, body: bytes) -> None:
    aside: list[tuple[Any, ...]] = []
    with Client(start(reject=lambda *args: aside.append(args), **SMALL)) as client:
        client.send("a", body, {"compressed": "gzip", "chunk": "one"})
        assert client.answer() == {"ack": "one"}
    assert aside[0][:3] == ("a", body, "one") and aside[0][3]
    assert taker.taken == []


def test_what_cannot_be_decompressed_nor_put_aside_gets_no_ack(start: Start) -> None:
    with Client(start()) as client:
        client.send("a", b"no gzip", {"compressed": "gzip", "chunk": "one"})
        assert client.answer() is None


def test_heartbeats_are_nothing(taker: Taker, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    port = start()
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        Client(port).close()
    with Client(port) as client:
        client.raw(b"\xc0\xc0")
        client.send("a", PAIR, {"chunk": "one"})
        assert client.answer() == {"ack": "one"}
    assert taker.taken == [("a", PAIR, "one")] and not caplog.records


def test_who_knows_the_key_is_let_in(taker: Taker, start: Start) -> None:
    port = start(Security("key"))
    with Client(port) as client:
        assert client.shake_hands("key")[:3] == ["PONG", True, ""]
        client.send("a", PAIR, {"chunk": "one"})
        assert client.answer() == {"ack": "one"}
    with Client(port) as client:
        assert client.shake_hands("other")[:3] == ["PONG", False, "shared_key mismatch"]
        assert client.answer() is None
    with Client(port) as client:
        client.send("a", PAIR, {"chunk": "two"})
        assert client.answer()[0] == "HELO" and client.answer() is None
    assert taker.taken == [("a", PAIR, "one")]


def test_messages_sent_before_the_pong_are_taken_after_it(taker: Taker, start: Start) -> None:
    with Client(start(Security("key"))) as client:
        held: list[bytes] = []
        client.send = lambda *message: held.append(msgpack.packb(list(message)))  # type: ignore[method-assign]
        client.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.shake_hands("key")
        client.socket.settimeout(10)
        client.raw(held[0] + msgpack.packb(["a", PAIR, {"chunk": "one"}]))
        assert client.answer()[0] == "PONG" and client.answer() == {"ack": "one"}


def test_who_is_not_known_may_not_send_much(start: Start) -> None:
    with Client(start(Security("key"))) as client:
        assert client.answer()[0] == "HELO"
        client.raw(msgpack.packb(["PING", bytes(MIB)])[:100])
        assert client.answer() is None


def test_who_is_known_may_send_much(taker: Taker, start: Start) -> None:
    with Client(start(Security("key"))) as client:
        assert client.shake_hands("key")[1] is True
        client.send("a", bytes(MIB), {"chunk": "one"})
        assert client.answer() == {"ack": "one"}


def test_accounts_have_takers_of_their_own(taker: Taker, start: Start) -> None:
    own = Taker()
    port = start(Security("key", {"a": Account("one", own.deliver), "b": Account("two")}))
    for user, password in (("a", "one"), ("b", "two")):
        with Client(port) as client:
            assert client.shake_hands("key", user, password)[1] is True
            client.send("t", PAIR, {"chunk": user})
            assert client.answer() == {"ack": user}
    with Client(port) as client:
        assert client.shake_hands("key", "a", "two")[1] is False
    assert own.taken == [("t", PAIR, "a")] and taker.taken == [("t", PAIR, "b")]


def test_who_says_nothing_is_let_go(start: Start) -> None:
    with Client(start(Security("key"), handshake_s=0.05)) as client:
        assert client.answer()[0] == "HELO" and client.answer() is None
    with Client(start(idle_s=0.05)) as client:
        assert client.answer() is None


def test_who_begins_a_message_and_waits_is_let_go(start: Start) -> None:
    with Client(start(grace_s=0.05)) as client:
        client.raw(b"\x93\xa1a")
        assert client.answer() is None


def test_who_drips_is_let_go(start: Start) -> None:
    with Client(start(grace_s=0.2, rate_bytes_s=1e9)) as client:
        client.raw(msgpack.packb(["a", bytes(1000)])[:100])
        client.socket.settimeout(0.02)
        for _ in range(500):
            try:
                client.raw(b"x")
                assert client.answer() is None
                return
            except TimeoutError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                return
    raise AssertionError("it was never let go")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(b"\x92\xa1a\xc6\xff\xff\xff\xff", id="length-lie"),
        pytest.param(b"\x92\xa1a" + b"\x91" * 100_000, id="nesting"),
        pytest.param(b"\x92\xa1a\xdd\x00\x1e\x84\x80" + b"\x80" * 2_000_000, id="empty-maps"),
        pytest.param(msgpack.packb(["a", {"a": 1}]), id="no-events"),
    ],
)
def test_one_that_does_wrong_is_let_go_and_others_are_not(start: Start, data: bytes) -> None:
    port = start()
    with Client(port) as good, Client(port) as bad:
        try:
            bad.raw(data)
            assert bad.answer() is None
        except (BrokenPipeError, ConnectionResetError):
            pass
        good.send("a", PAIR, {"chunk": "one"})
        assert good.answer() == {"ack": "one"}


def test_memory_is_shared_and_who_finds_none_may_come_again(start: Start) -> None:
    port = start(**SMALL, room_s=0.5)
    message = msgpack.packb(["a", bytes(MIB - 100), {"chunk": "one"}])
    clients = [Client(port) for _ in range(4)]
    for client in clients:
        client.raw(message[:-1])
    hung_up, _, _ = select.select([client.socket for client in clients], [], [], 10)
    assert hung_up
    for client in clients:
        client.close()
    with Client(port) as client:
        client.raw(message)
        assert client.answer() == {"ack": "one"}


def test_idle_connections_make_room(start: Start) -> None:
    port = start(connections=3)
    with Client(port) as used:
        used.send("a", PAIR, {"chunk": "one"})
        assert used.answer() == {"ack": "one"}
        silent = [Client(port) for _ in range(4)]
        assert silent[0].answer() is None
        used.send("a", PAIR, {"chunk": "two"})
        assert used.answer() == {"ack": "two"}
        for one in silent:
            one.close()


def test_stop_waits_for_what_is_handed_on(taker: Taker, start: Start) -> None:
    listener = Listener(taker.deliver, port=0)
    listener.start()
    taker.may_go_on.clear()
    with Client(listener.port) as client, Client(listener.port) as idle:
        client.send("a", PAIR, {"chunk": "one"})
        assert taker.has_begun.wait(10)
        listener.ask_to_stop()
        assert idle.answer() is None
        taker.may_go_on.set()
        assert client.answer() == {"ack": "one"} and client.answer() is None
        listener.stop()
        listener.stop()
    with pytest.raises(ConnectionRefusedError):
        Client(listener.port)


def test_stop_takes_what_was_sent_before_it_and_no_more(taker: Taker, start: Start) -> None:
    listener = Listener(taker.deliver, port=0)
    listener.start()
    taker.may_go_on.clear()
    with Client(listener.port) as client:
        client.send("a", PAIR)
        assert taker.has_begun.wait(10)
        for _ in range(3):
            client.send("b", PAIR)
        listener.ask_to_stop()
        taker.may_go_on.set()
        sender = threading.Thread(target=_send_for_ever, args=(client,))
        sender.start()
        listener.stop()
        sender.join(10)
        assert not sender.is_alive()
    assert taker.body.startswith(4 * PAIR)


def _send_for_ever(client: Client) -> None:
    with contextlib.suppress(OSError):
        while True:
            client.send("c", PAIR)


def test_address_that_cannot_be_listened_on_is_told(taker: Taker) -> None:
    first = Listener(taker.deliver, port=0)
    with pytest.raises(PortInUseError, match="forward_port"):
        Listener(taker.deliver, port=first.port)
    first.stop()
    for host in ("no.such.host.invalid", "203.0.113.1"):
        with pytest.raises(AddressError):
            Listener(taker.deliver, host=host, port=0)


def test_limits_that_could_never_be_kept_are_refused() -> None:
    with pytest.raises(InvalidError):
        ForwardLimits(memory_bytes=64 * KIB)


def test_listener_outlives_a_thread_that_cannot_be_started(
    taker: Taker, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, real, failed = start(), threading.Thread.start, threading.Event()

    def fail_once(thread: threading.Thread) -> None:
        if thread.name == "forward-client" and not failed.is_set():
            failed.set()
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_once)
    with Client(port) as client:
        assert client.answer() is None
    with Client(port) as client:
        client.send("a", PAIR, {"chunk": "one"})
        assert client.answer() == {"ack": "one"}
