"""A listener that stores numbered chunks as a portal does, and fails as a network does."""

import socket
import threading
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class Sent(NamedTuple):
    """A request as it came."""

    tag: str
    epoch: int
    seq: int
    body: bytes
    answer: int | str
    previous: tuple[int, int] | None = None


class Fault(NamedTuple):
    """What to do with the next request instead of answering it as it should be."""

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    cut: str = ""
    """`before` or `after` the chunk is stored the connection ends without an answer."""


class NumberedListener(ThreadingHTTPServer):
    """State per producer, policy and tag; `streams` are the bytes by policy and tag."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.connections: list[socket.socket] = []
        self.state: dict[Any, tuple[int, int]] = {}
        self.streams: dict[tuple[str, str], bytes] = defaultdict(bytes)
        self.requests: list[Sent] = []
        self.faults: deque[Fault] = deque()
        self.limit = 1 << 30
        self.always = Fault()
        self.under_way: dict[str, int] = defaultdict(int)
        self.most_under_way = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def tag(self, tag: str, policy: str = "default") -> bytes:
        """Return what is stored under a tag."""
        return self.streams[policy, tag]

    def judge(self, policy: str, tag: str, producer: str, numbers: Any, body: bytes) -> Any:
        """Return status and headers as the contract has it, and store."""
        (epoch, seq), previous = numbers
        known, last = self.state.get((policy, tag, producer), (0, -1))
        if len(body) > self.limit:
            return 413, {}
        if epoch < known:
            return 409, {}
        expected = last + 1 if epoch == known else 0
        if epoch == known and seq < expected:
            return 200, self._receipt("duplicate", body)
        if seq != expected:
            return 409, {"Producer-Next": str(expected)}
        if epoch > known and previous and previous > (known, last):
            return 409, {"Producer-Next": str(last + 1 if previous[0] == known else 0)}
        self.state[policy, tag, producer] = epoch, seq
        self.streams[policy, tag] += body
        return 200, self._receipt("stored", body)

    def _receipt(self, status: str, body: bytes) -> dict[str, str]:
        return {
            "Ingest-Status": status, "Ingest-Stream": "data_stream_module/1", "Ingest-Offset": "0",
            "Ingest-Length": str(len(body)), "Ingest-Tid": "03fa2b0c11223344",
        }  # fmt: skip

    def server_close(self) -> None:
        """End the connections that agents left open, too."""
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # ended already
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that a killed agent left."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: NumberedListener
    timeout = 20

    def setup(self) -> None:
        self.server.connections.append(self.request)
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(body) < int(self.headers["Content-Length"]):  # the agent was killed while it sent
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        policy, tag = unquote(parts.path.split("/")[2]), parse_qs(parts.query)["reference"][0]
        server = self.server
        with server.lock:
            fault = server.faults.popleft() if server.faults else server.always
            server.under_way[tag] += 1
            server.most_under_way = max(server.most_under_way, server.under_way[tag])
            numbers = int(self.headers["Producer-Epoch"]), int(self.headers["Producer-Seq"])
            before = self.headers.get("Producer-Previous")
            previous = tuple(map(int, before.split("."))) if before else None
            status, headers = fault.status, dict(fault.headers)
            if not fault.status and fault.cut != "before":
                producer = self.headers["Producer-Id"]
                status, headers = server.judge(policy, tag, producer, (numbers, previous), body)
            server.under_way[tag] -= 1
            server.requests.append(Sent(tag, *numbers, body, fault.cut or status, previous))
        if fault.cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass
