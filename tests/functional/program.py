"""The running program: `haywain serve` in a process of its own, and a client that speaks to its socket."""

import base64
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import urllib3

PASSWORD = "correct horse battery"
START_S = 30
INGEST = "/portal_ingestion_policies/default/ingest"

Headers = Mapping[str, str]
T = TypeVar("T")


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of Basic credentials."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


ADMIN = basic("admin", PASSWORD)


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `haywain` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "haywain", *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=START_S,
    )


def until(found: Callable[[], T], what: str, within_s: float = 15, pause_s: float = 0.01) -> T:
    """Return what is found, once that is true; fail after a deadline."""
    deadline = time.monotonic() + within_s
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited {within_s} s for {what}"
        time.sleep(pause_s)
    return value


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def receipt(self) -> tuple[str, str, int, int, str]:
        """Return status, stream, offset, length and transaction of a receipt."""
        h = self.headers
        return (
            h["Ingest-Status"],
            h["Ingest-Stream"],
            int(h["Ingest-Offset"]),
            int(h["Ingest-Length"]),
            h["Ingest-Tid"],
        )

    @property
    def is_stored(self) -> bool:
        return self.status == 200 and self.headers["Ingest-Status"] == "stored"


class Client:
    """Requests to one portal; safe to use from several threads."""

    def __init__(self, url: str, headers: Headers = ADMIN, connections: int = 64) -> None:
        self.url, self.headers = url, headers
        self._pool = urllib3.connection_from_url(url, maxsize=connections, timeout=60, retries=False)

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Headers | None = None, /, **fields: Any
    ) -> Answer:
        """Send a request with these credentials; keywords become the query."""
        query = f"?{urlencode(fields, doseq=True)}" if fields else ""
        answer = self._pool.request(
            method, path + query, body=body, headers={**self.headers, **(headers or {})}, redirect=False
        )
        return Answer(answer.status, answer.headers, answer.data)

    def ingest(self, tag: str | bytes, body: Any, key: str = "", headers: Headers | None = None) -> Answer:
        """Post a body under a tag."""
        sent = {"Content-Type": "application/octet-stream"} | ({"Idempotency-Key": key} if key else {})
        return self("POST", f"{INGEST}?reference={quote(tag, safe='')}", body, {**sent, **(headers or {})})

    def search(self, **fields: Any) -> Any:
        """Return the answer of a search, which must succeed."""
        answer = self("GET", "/api/v1/search", **fields)
        assert answer.status == 200, answer.body
        return answer.json

    def make(self, module: str, **properties: Any) -> Any:
        """Make a document; return its JSON."""
        sent = {"Content-Type": "application/json"}
        answer = self("POST", f"/{module}", json.dumps(properties).encode(), sent)
        assert answer.status == 201, answer.body
        return answer.json

    def stream(self, reference: str, body: bytes = b"") -> str:
        """Make a Data Stream with these bytes; return its path."""
        path = str(self.make("data_stream_module", reference=reference)["path"])
        if body:
            assert self("PUT", f"/{path}/data", body).status == 200
        return path

    def data(self, path: str) -> bytes:
        """Return the bytes of a document."""
        answer = self("GET", f"/{path}/data")
        assert answer.status == 200, answer.body
        return answer.body

    def close(self) -> None:
        self._pool.close()


class Program:
    """`haywain serve`, or another `verb`, on a directory; can be stopped, killed and started again."""

    verb, ready = "serve", "haywain: serving "

    def __init__(self, data: Path, *arguments: str, **environment: str) -> None:
        self.data, self.arguments = data, arguments
        self.environment = {"HAYWAIN_ADMIN_PASSWORD": PASSWORD} | environment
        self.errors = data.with_name(data.name + ".stderr")
        self.process: subprocess.Popen[bytes] | None = None
        self.url, self.line, self.rest = "", "", b""

    def launch(self, port: int = 0) -> None:
        """Begin to start it, on this port."""
        command = [sys.executable, "-m", "haywain", self.verb, "--data", str(self.data), "--port", str(port)]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*command, *self.arguments],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def start(self, port: int = 0) -> Self:
        """Start it and wait until it serves."""
        self.launch(port)
        return self.start_launched()

    def start_launched(self) -> Self:
        """Wait until what was launched serves."""
        assert self.process is not None and self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_S)
        self.line = self.process.stdout.readline().decode() if ready else ""
        if not self.line.startswith(self.ready):
            self.kill()
            raise AssertionError(f"it printed {self.line!r} and on stderr:\n{self.log}")
        self.url = self.line.rpartition(" ")[2].strip()
        return self

    @property
    def log(self) -> str:
        """What it wrote to stderr so far, over all starts."""
        return self.errors.read_text(encoding="utf-8")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def client(self, headers: Headers = ADMIN) -> Client:
        """Return a client of what runs now."""
        return Client(self.url, headers)

    def stop(self) -> int:
        """Stop it by SIGTERM; return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it by SIGKILL."""
        self._end(signal.SIGKILL)

    def wait(self) -> int:
        """Wait until it has ended by itself; return its exit code."""
        return self._end(None)

    def _end(self, number: signal.Signals | None) -> int:
        if self.process is None:
            return 0
        process, self.process = self.process, None
        if number is not None:
            process.send_signal(number)
        try:
            code = process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            self.rest = process.stdout.read()
            process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self.start() if self.process is None else self

    def __exit__(self, *error: object) -> None:
        self.kill()


class DatabaseProgram(Program):
    """`haywain zeo` on a directory; its `url` is the URI of the database."""

    verb, ready = "zeo", "haywain: zeo at "


Make = Callable[..., Program]
"""Makes a Program from arguments and settings."""
