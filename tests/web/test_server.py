"""The server on real sockets: connections that stay, are slow, cut or stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import parse_headers
from pathlib import Path

import pytest
from tests.web.serving import DATA, KEY, Running, answer, ask, chunked, head, is_closed, patch, until

from haywain.errors import AddressError, PortInUseError
from haywain.store.upload import Uploads
from haywain.values import MIB
from haywain.web.loop import WRITE
from haywain.web.server import ServerLimits, make_server

# Keep-alive


def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    data = os.urandom(2 * MIB)
    requests = [
        head("GET", "/first"),
        head("POST", DATA, KEY, "Content-Length: 3") + b"abc",
        head("PUT", DATA, KEY, f"Content-Length: {len(data)}") + data,
        head("PUT", DATA, KEY, "Transfer-Encoding: chunked") + chunked(b"defg", 2),
        head("GET", "/last"),
    ]
    with running.connect() as sock:
        sock.sendall(b"".join(requests))
        seen = [answer(sock)[2] for _ in requests]
    assert [found["path"] for found in seen] == ["/first", DATA, DATA, DATA, "/last"]
    assert seen[1]["input"] == [3, hash(b"abc")]
    assert [found["pieces"][1:] for found in seen[2:4]] == [[len(data), hash(data)], [4, hash(b"defg")]]


def test_requests_sent_ahead_wait_unparsed(running: Running) -> None:
    """Of a connection one request is held at a time, however many come in one piece."""
    with running.connect() as sock:
        sock.sendall(head("GET", "/wait") + head("GET", "/a") * 4000 + head("GET", "/last"))
        assert running.has_begun.wait(5)
        (channel,) = running.server.active_channels.values()
        assert len(channel.requests) == 1 and channel.request is None
        running.may_go_on.set()
        seen = [answer(sock)[2]["path"] for _ in range(4002)]
    assert seen == ["/wait", *["/a"] * 4000, "/last"]


def test_requests_sent_ahead_hold_no_thread(serve: Callable[..., Running]) -> None:
    """Twelve answers of 4 MiB are more than what is buffered of one, and the client reads none of them."""
    running = serve(threads=1)
    with running.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(head("GET", "/some") * 12)
        until(lambda: any(c.total_outbufs_len for c in running.server.active_channels.values()), "an answer")
        assert [ask(running, head("GET", "/"))[0] for _ in range(12)] == [200] * 12


def test_a_body_waits_for_its_continue(running: Running) -> None:
    with running.connect() as sock:
        sock.sendall(head("PUT", DATA, KEY, "Content-Length: 3", "Expect: 100-continue"))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert answer(sock)[2]["input"] == [3, hash(b"abc")]


def test_no_body_needs_no_continue(running: Running) -> None:
    assert ask(running, head("GET", "/", "Expect: 100-continue"))[0] == 200


@pytest.mark.parametrize(
    "error", [RuntimeError("on purpose"), OSError("on purpose")], ids=["error", "system"]
)
def test_a_crash_is_a_problem(running: Running, error: Exception) -> None:
    running.crash = error
    status, headers, problem = ask(running, head("GET", "/crash"))
    assert (status, headers["Content-Type"], problem["status"]) == (500, "application/problem+json", 500)
    assert "on purpose" not in json.dumps(problem)


# Cuts and slowness


def test_a_cut_body_of_data_leaves_nothing(running: Running) -> None:
    with running.connect() as sock:
        sock.sendall(head("PUT", DATA, KEY, f"Content-Length: {2 * MIB}") + bytes(MIB))
        until(lambda: running.bodies() != [], "pieces begun")
    until(lambda: running.bodies() == [], "pieces removed")


@pytest.mark.parametrize("sent", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"], ids=["line", "headers"])
def test_half_a_head_is_answered_when_its_time_is_over(serve: Callable[..., Running], sent: bytes) -> None:
    status, _, problem = ask(serve(header_deadline_s=0.1), sent)
    assert (status, problem["title"]) == (408, "Request timeout")


def test_a_silent_connection_is_closed(serve: Callable[..., Running]) -> None:
    with serve(header_deadline_s=0.1).connect() as sock:
        assert is_closed(sock)


def test_a_connection_at_rest_is_closed_later(serve: Callable[..., Running]) -> None:
    running = serve(header_deadline_s=0.4, idle_s=0.9)
    with running.connect() as sock:
        sock.sendall(head("GET", "/"))
        assert answer(sock)[0] == 200
        began = time.monotonic()
        assert is_closed(sock)
        assert time.monotonic() - began > 0.6


def test_drops_of_a_head_do_not_hold_a_connection(serve: Callable[..., Running]) -> None:
    """Slow loris: each byte is activity, but the deadline is that of the whole."""
    running = serve(header_deadline_s=0.5)
    socks = [running.connect() for _ in range(20)]
    stopped = threading.Event()

    def drip() -> None:
        while not stopped.wait(0.02):
            for sock in socks:
                try:
                    sock.send(b"X")
                except OSError:
                    stopped.set()

    thread = threading.Thread(target=drip)
    thread.start()
    assert ask(running, head("GET", "/"))[0] == 200
    statuses = [answer(sock)[0] for sock in socks]
    stopped.set()
    thread.join()
    for sock in socks:
        sock.close()
    assert statuses == [408] * 20


@pytest.mark.parametrize("sends", [b"", b"abc"], ids=["nothing", "little"])
def test_a_slow_body_is_refused(serve: Callable[..., Running], sends: bytes) -> None:
    running = serve(body_grace_s=0.2, body_rate_bytes_s=1000)
    assert ask(running, head("PUT", DATA, KEY, "Content-Length: 5000"), sends)[0] == 408


def test_a_body_that_stops_after_a_quick_start_is_refused(serve: Callable[..., Running]) -> None:
    running = serve(body_grace_s=0.2, idle_s=0.3, body_rate_bytes_s=1000)
    assert ask(running, head("PUT", DATA, KEY, f"Content-Length: {9 * MIB}"), bytes(MIB))[0] == 408
    until(lambda: running.bodies() == [], "pieces removed")


def test_a_slow_upload_keeps_its_bytes_and_its_place(serve: Callable[..., Running]) -> None:
    running = serve(body_grace_s=0.5, body_rate_bytes_s=1000)
    upload_id = running.new_upload(6)
    status, headers, _ = ask(running, patch(upload_id, 0, 6), b"abc")
    assert (status, headers["Tus-Resumable"]) == (408, "1.0.0")
    assert ask(running, patch(upload_id, 3, 3), b"def")[0] == 200


def test_the_deadline_of_a_head_begins_when_the_request_before_is_answered(
    serve: Callable[..., Running],
) -> None:
    running = serve(header_deadline_s=0.5)
    with running.connect() as sock:
        sock.sendall(head("GET", "/wait") + b"GET / HTTP/1.1\r\n")
        assert running.has_begun.wait(5)
        running.may_go_on.wait(0.7)
        running.may_go_on.set()
        assert answer(sock)[2]["path"] == "/wait"
        sock.sendall(b"Host: a\r\n\r\n")
        assert answer(sock)[2]["path"] == "/"


def test_a_client_that_does_not_read_is_dropped(serve: Callable[..., Running]) -> None:
    running = serve(idle_s=0.2)
    with running.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(head("GET", "/large"))
        until(lambda: bool(running.server.active_channels), "connected")
        until(lambda: not running.server.active_channels, "dropped")


def test_the_loop_rests_while_an_answer_is_made(serve: Callable[..., Running]) -> None:
    """Whose first part the client has taken."""
    running = serve(maintenance_s=30)
    with running.connect() as sock, sock.makefile("rb") as file:
        sock.sendall(head("GET", "/pause"))
        assert running.has_begun.wait(10)
        loop = running.server.loop
        (channel,) = running.server.active_channels.values()
        until(lambda: bool(loop._armed.get(channel._fileno, 0) & WRITE), "the client is waited for")
        file.readline()
        parse_headers(file)
        file.read(4 * MIB)
        until(lambda: not channel.writable(), "all is sent")
        until(lambda: not loop._armed.get(channel._fileno, 0) & WRITE, "nothing is waited for")
        running.may_go_on.set()
        assert file.read(1) == b"."
        sock.sendall(head("GET", "/"))
        assert answer(sock)[0] == 200


def test_a_late_server_does_not_blame_the_clients(serve: Callable[..., Running]) -> None:
    running = serve(header_deadline_s=20, maintenance_s=30)
    with running.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        until(lambda: any(c.request for c in running.server.active_channels.values()), "half a head")
        running.server.maintenance(time.time() + 50)
        sock.sendall(b"Host: a\r\n\r\n")
        assert answer(sock)[0] == 200


# Address and stop


def test_a_port_in_use_is_said(running: Running) -> None:
    port = running.server.effective_port
    with pytest.raises(PortInUseError, match=f"Port {port} of 127.0.0.1 is in use"):
        make_server(
            running.application, host="127.0.0.1", port=port, uploads=running.uploads, limits=ServerLimits()
        )


@pytest.mark.parametrize(
    "host", ["no.such.host.invalid", "a" * 70 + ".example", "192.0.2.1"], ids=["unknown", "long", "foreign"]
)
def test_an_address_that_is_not_ours_is_said(tmp_path: Path, host: str) -> None:
    with pytest.raises(AddressError, match=host[:60]):
        make_server(lambda *_: [], host=host, port=0, uploads=Uploads(tmp_path), limits=ServerLimits())


def test_a_stop_lets_a_running_request_finish(serve: Callable[..., Running]) -> None:
    running = serve()
    with running.connect() as sock, running.connect() as idle:
        sock.sendall(head("GET", "/wait"))
        assert running.has_begun.wait(5)
        running.server.stop()
        until(lambda: not running.server.accepting, "no longer listening")
        running.may_go_on.set()
        assert answer(sock)[0] == 200
        assert is_closed(sock)
        assert is_closed(idle)
    running.thread.join(5)
    assert not running.thread.is_alive()


def test_a_stop_does_not_wait_for_ever(serve: Callable[..., Running]) -> None:
    running = serve(stop_s=0.1)
    with running.connect() as sock:
        sock.sendall(head("GET", "/wait"))
        assert running.has_begun.wait(5)
        running.server.stop()
        running.thread.join(5)
        assert not running.thread.is_alive()


def test_a_stop_frees_the_thread_of_a_client_that_does_not_read(
    serve: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    running = serve(stop_s=0.1)
    with running.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(head("GET", "/large"))
        until(lambda: any(c.total_outbufs_len for c in running.server.active_channels.values()), "an answer")
        running.server.stop()
        running.thread.join(5)
        assert not running.thread.is_alive()
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_stop_in_the_middle_keeps_an_upload_and_drops_a_body(running: Running) -> None:
    upload_id = running.new_upload(10)
    with running.connect() as first, running.connect() as second:
        first.sendall(patch(upload_id, 0, 10) + b"abc")
        second.sendall(head("PUT", DATA, KEY, f"Content-Length: {2 * MIB}") + bytes(MIB))
        until(lambda: running.offset(upload_id) == 3 and running.bodies() != [], "bytes on disk")
        running.stop()
    assert running.offset(upload_id) == 3


_PROGRAM = """
import signal, sys, time
from pathlib import Path
from haywain.store.upload import Uploads
from haywain.web.server import ServerLimits, make_server

def application(environ, start_response):
    print("begun", flush=True)
    time.sleep(0.5)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]

def stop(*_):
    raise SystemExit

server = make_server(application, host="127.0.0.1", port=0, uploads=Uploads(Path(sys.argv[1])),
    limits=ServerLimits())
signal.signal(signal.SIGTERM, stop)
print(server.effective_port, flush=True)
server.run()
print("stopped", flush=True)
"""


@contextmanager
def program(directory: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", _PROGRAM, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_signal_stops_the_server_after_the_running_request(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        assert process.stdout is not None
        with socket.create_connection(("127.0.0.1", int(process.stdout.readline())), timeout=10) as sock:
            sock.sendall(head("GET", "/"))
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGTERM)
            with sock.makefile("rb") as file:
                assert file.read().endswith(b"\r\n\r\ndone")
        assert process.stdout.read() == "stopped\n"
        assert process.wait(5) == 0
