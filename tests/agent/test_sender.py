"""Delivery of chunks, against a real HTTP server that fails in all ways."""

import base64
import itertools
import logging
import re
import socket
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import msgspec
import pytest

from haywain import errors
from haywain.agent import sender as sender_module
from haywain.agent.sender import ResourceSender, Sender, tag_of
from haywain.values import Receipt

STORED = {
    "Ingest-Status": "stored",
    "Ingest-Stream": "data_stream_module/1",
    "Ingest-Offset": "70",
    "Ingest-Length": "5",
    "Ingest-Tid": "03fa2b0c11223344",
}
NUMBER = "number of the sample"
CUT = "the connection is cut before the answer"


class Request(NamedTuple):
    path: str
    headers: dict
    body: bytes
    status: object

    @property
    def key(self):
        return self.headers["Idempotency-Key"]


class Listener(ThreadingHTTPServer):
    """Answers by a script of (status, headers), or CUT, and then always with `otherwise`."""

    daemon_threads = False  # server_close waits for them

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.script, self.otherwise = [], deque(), (200, STORED)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def accepted(self):
        return [request for request in list(self.requests) if request.status == 200]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.script.popleft() if self.server.script else self.server.otherwise
        status, headers = (CUT, {}) if answer is CUT else answer
        self.server.requests.append(Request(self.path, dict(self.headers), body, status))
        if answer is CUT:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def listener():
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def sleeps():
    return []


@pytest.fixture
def sender(listener, sleeps):
    return Sender(listener.url, "t0ken", sleep=sleeps.append)


@pytest.fixture
def closed_url():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{probe.getsockname()[1]}"  # bound, but nothing listens


def poll(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_send_posts_the_chunk_to_the_policy_under_its_tag(listener, sender):
    sender.send("turbine-1.wav", b"hello", key="k1")
    (request,) = listener.requests
    assert request.path == "/portal_ingestion_policies/default/ingest?reference=turbine-1.wav"
    assert request.body == b"hello"
    assert request.key == "k1"
    assert request.headers["Content-Type"] == "application/octet-stream"


def test_send_returns_the_receipt(sender):
    receipt = sender.send("turbine-1.wav", b"hello")
    assert receipt == Receipt("stored", "data_stream_module/1", 70, 5, "03fa2b0c11223344")


def test_tag_and_policy_are_quoted(listener):
    Sender(listener.url + "/", "t0ken", policy="a b").send("Grüße & a/b?.x", b"")
    assert listener.requests[0].path == (
        "/portal_ingestion_policies/a%20b/ingest?reference=Gr%C3%BC%C3%9Fe%20%26%20a%2Fb%3F.x"
    )


def test_content_type_can_be_chosen(listener, sender):
    sender.send("a.b", b"{}", content_type="application/x-ndjson")
    assert listener.requests[0].headers["Content-Type"] == "application/x-ndjson"


def test_token_is_sent_as_bearer(listener, sender):
    sender.send("a.b", b"x")
    assert listener.requests[0].headers["Authorization"] == "Bearer t0ken"


def test_user_and_password_are_sent_as_basic_in_utf_8(listener):
    Sender(listener.url, ("admin", "pass:wörd")).send("a.b", b"x")
    scheme, value = listener.requests[0].headers["Authorization"].split()
    assert (scheme, base64.b64decode(value).decode()) == ("Basic", "admin:pass:wörd")


def test_each_chunk_has_a_key_of_its_own_in_order_of_time(listener, sender):
    for _ in range(3):
        sender.send("a.b", b"same")
    keys = [request.key for request in listener.requests]
    assert len(set(keys)) == 3
    assert keys == sorted(keys)
    assert not any(re.fullmatch(r"[0-9a-f]{32}", key) for key in keys), "looks like a fluentd chunk id"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_temporary_refusal_is_tried_again_with_the_same_key(status, listener, sender, sleeps):
    listener.script.extend([(status, {}), (status, {})])
    assert sender.send("a.b", b"hello").status == "stored"
    assert [request.status for request in listener.requests] == [status, status, 200]
    assert len({(request.key, request.body) for request in listener.requests}) == 1
    assert len(sleeps) == 2


def test_retry_after_is_waited_for(listener, sender, sleeps):
    listener.script.append((503, {"Retry-After": "17"}))
    sender.send("a.b", b"x")
    assert 17 <= sleeps[0] <= 18


def test_lost_answer_is_tried_again_with_the_same_key(listener, sender):
    listener.script.append(CUT)
    assert sender.send("a.b", b"hello").status == "stored"
    lost, again = listener.requests
    assert (lost.key, lost.body) == (again.key, again.body)


def test_send_gives_up_when_retry_after_exceeds_the_deadline(listener, sender, sleeps):
    listener.otherwise = (503, {"Retry-After": "3000"})
    with pytest.raises(errors.TemporaryError, match=r"Gave up after 1 tries: http://.* answered 503"):
        sender.send("a.b", b"x")
    assert sleeps == []


def test_send_gives_up_on_a_portal_that_is_away(closed_url):
    with pytest.raises(errors.TemporaryError, match=f"No answer from {closed_url}"):
        Sender(closed_url, "t0ken", deadline_s=0).send("a.b", b"x")


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, errors.UnauthorizedError, "does not know this token"),
        (403, errors.ForbiddenError, "may not use the ingestion policy 'default'"),
        (404, errors.NotFoundError, "no ingestion policy 'default'"),
        (413, errors.TooLargeError, "larger than"),
        (302, errors.HaywainError, "answered 302"),
        (400, errors.HaywainError, "answered 400"),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_refusal_is_not_tried_again(status, error, message, listener, sender):
    listener.otherwise = (status, {"Location": "/login"})
    with pytest.raises(error, match=message):
        sender.send("a.b", b"x")
    assert len(listener.requests) == 1


@pytest.mark.parametrize(
    "headers", [{}, {**STORED, "Ingest-Offset": "many"}], ids=["no-receipt", "offset-is-no-number"]
)
def test_answer_without_a_receipt_is_an_error(headers, listener, sender):
    listener.otherwise = (200, headers)
    with pytest.raises(errors.HaywainError, match="is it a Portal"):
        sender.send("a.b", b"x")


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "ftp://host", "http://", "http://u:p@host", "http://host/?a=b", "http://host:port"],
    ids=["empty", "no-scheme", "ftp", "no-host", "password", "query", "bad-port"],
)
def test_bad_url_is_refused(url):
    with pytest.raises(errors.InvalidError, match="URL"):
        Sender(url, "t0ken")


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "tökén"], ids=["empty", "blank", "line", "umlaut"])
def test_token_that_no_header_can_hold_is_refused(token):
    with pytest.raises(errors.InvalidError, match="token"):
        Sender("http://host", token)


@pytest.mark.parametrize(
    ("hostname", "tag"),
    [
        ("vm", "vm.resource"), ("web-1.example.org", "web-1-example-org.resource"),
        ("a/b c", "a-b-c.resource"), ("_x", "x.resource"), ("", "machine.resource"),
        ("h" * 300, "h" * 246 + ".resource"),
    ],
    ids=["plain", "dots", "slash", "underscore", "empty", "long"],
)  # fmt: skip
def test_resource_tag_has_the_form_sensor_product(hostname, tag):
    assert tag_of(hostname) == tag


@pytest.fixture
def samples(monkeypatch):
    """Return the numbers of the samples taken, which stand in them too."""
    numbers, taken = itertools.count(), []

    def numbered():
        taken.append(next(numbers))
        return {NUMBER: taken[-1], **real()}

    real = sender_module.sample
    monkeypatch.setattr(sender_module, "sample", numbered)
    return taken


@pytest.fixture
def soon(monkeypatch):
    """Shorten the pauses after failures to 10 ms."""
    monkeypatch.setattr(sender_module, "pause_s", lambda failures, least_s: 0.01)


@pytest.fixture
def start(sender):
    threads = []

    def start(**options):
        threads.append(ResourceSender(sender, tag="vm.resource", interval_s=0.001, **options))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.stop()
        thread.join(20)
        assert not thread.is_alive()


def numbers(requests):
    """Return the numbers of all records; each body is read as one array."""
    bodies = [(request.body, request.body.count(NUMBER.encode())) for request in requests]
    arrays = [msgspec.msgpack.decode(b"\xdc" + count.to_bytes(2, "big") + body) for body, count in bodies]
    return [record[NUMBER] for array in arrays for _, record in array]


def test_resource_records_arrive_in_chunks_under_the_tag(listener, samples, start):
    start(chunk_records=3)
    poll(lambda: len(listener.requests) >= 2)
    first, second = listener.requests[:2]
    assert first.path.endswith("?reference=vm.resource")
    assert numbers([first, second]) == [1, 2, 3, 4, 5, 6]
    assert first.key != second.key


def test_stop_sends_what_was_sampled(listener, samples, start):
    thread = start(chunk_records=1000)
    poll(lambda: len(samples) > 5)
    thread.stop()
    thread.join(20)
    assert numbers(listener.requests) == samples[1:]


@pytest.mark.usefixtures("soon")
def test_resource_records_survive_failures_in_order_and_once(listener, samples, start, caplog):
    listener.script.extend([(503, {}), CUT, (401, {}), (500, {})])
    thread = start(chunk_records=2)
    poll(lambda: len(listener.accepted()) >= 3)
    thread.stop()
    thread.join(20)
    assert len({request.key for request in listener.requests[:5]}) == 1
    assert numbers(listener.accepted()) == samples[1:]
    messages = [record.getMessage() for record in caplog.records if record.name == sender_module.__name__]
    assert len(messages) == 2
    assert "vm.resource waits: http://" in messages[0]
    assert "delivery works again" in messages[1]


@pytest.mark.usefixtures("soon")
def test_full_backlog_pauses_sampling_and_drops_nothing(listener, samples, start, caplog):
    listener.otherwise = (503, {})
    thread = start(chunk_records=2, backlog_chunks=3)
    poll(lambda: "sampling pauses" in caplog.text)
    tries = len(listener.requests)
    poll(lambda: len(listener.requests) > tries + 5)
    assert samples == [0, 1, 2, 3, 4, 5, 6]
    listener.otherwise = (200, STORED)
    poll(lambda: len(samples) > 10)
    thread.stop()
    thread.join(20)
    assert numbers(listener.accepted()) == samples[1:]


def test_stop_tells_what_it_could_not_deliver(listener, samples, start, caplog):
    listener.otherwise = (401, {})
    thread = start(chunk_records=1000)
    poll(lambda: len(samples) > 2)
    thread.stop()
    thread.join(20)
    assert "Stopped with 1 chunks of vm.resource undelivered" in caplog.text


def test_failing_sample_is_logged_and_the_thread_goes_on(listener, monkeypatch, start, caplog):
    real, broken = sender_module.sample, iter([True, True])

    def sample():
        if next(broken, False):
            raise OSError("no /proc")
        return real()

    monkeypatch.setattr(sender_module, "sample", sample)
    start(chunk_records=1)
    poll(lambda: listener.requests)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.ERROR]


def test_thread_is_a_daemon_named_for_what_it_does(sender):
    thread = ResourceSender(sender)
    assert thread.daemon
    assert thread.name == "resource-sender"
    assert thread.tag == tag_of(socket.gethostname())
