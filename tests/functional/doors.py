"""The pages of docs/doors/ and what runs on them: configurations, programs, and a proxy that is bad."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.functional.program import Client, until

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".clients" / "root"
NODE_MODULES = ROOT / ".clients" / "node" / "node_modules"
PORTAL, FORWARD, TOKEN, KEY = "http://127.0.0.1:8080", "24224", "hw_YOUR_TOKEN", "YOUR_SHARED_KEY"
MISSING = "is not there; `make system` unpacks it where Debian's apt and npm reach their archives"


def block(page: str, name: str) -> str:
    """Return the code block of a page that stands behind a file's name, or is of a language.

    Of several of one language the first.
    """
    text = (ROOT / "docs" / "doors" / page).read_text(encoding="utf-8")
    found = re.search(rf"`{re.escape(name)}`[^\n]*:\n\n```\w*\n(.*?)```", text, re.DOTALL)
    found = found or re.search(rf"```{re.escape(name)}\n(.*?)```", text, re.DOTALL)
    assert found is not None, f"{page} has no block {name}"
    return found[1]


def replaced(text: str, **values: str | Path) -> str:
    """Return a configuration with other values; each of those named must stand in it."""
    names = {"portal": PORTAL, "forward": FORWARD, "token": TOKEN, "key": KEY}
    for name, value in values.items():
        said = names.get(name, name)
        assert said in text, f"{said} does not stand in\n{text}"
        text = text.replace(said, str(value))
    return text


def debian(path: str) -> Path:
    """Return a program of Debian that was unpacked for the tests; without it the test fails."""
    if not (UNPACKED / path).exists():
        pytest.fail(f"{path} {MISSING}", pytrace=False)
    return UNPACKED / path


def environment() -> dict[str, str]:
    """Return the environment in which what was unpacked finds its libraries."""
    folders = [
        path for found in ("usr/lib/syslog-ng", "usr/lib/*-linux-gnu*") for path in UNPACKED.glob(found)
    ]
    folders += UNPACKED.glob("lib/*-linux-gnu*")
    return os.environ | {"LD_LIBRARY_PATH": os.pathsep.join(map(str, folders))}


def node(script: Path) -> list[str]:
    """Return the command that runs a script under node; without the packages the test fails."""
    found = shutil.which("node")
    if found is None or not NODE_MODULES.exists():
        pytest.fail(f"node or {NODE_MODULES.name} {MISSING}", pytrace=False)
    return ["env", f"NODE_PATH={NODE_MODULES}", found, str(script)]


@contextmanager
def running(command: list[str | Path], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that is to go on until it is told to stop; it must not have ended before."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
        assert process.poll() is None, log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def new_token(client: Client, *scopes: str) -> str:
    """Return the secret of a new token of the administrator's."""
    return str(client.make("token_module", portal_type="Token", login="admin", scopes=scopes)["secret"])


def bytes_of(client: Client, tag: str) -> bytes:
    """Return what arrived under a tag so far."""
    items = client.search(portal_type="Data Stream", reference=tag)["items"]
    return client.data(items[0]["path"]) if items else b""


def lines_of(client: Client, tag: str, count: int, within_s: float = 15) -> list[Any]:
    """Return the records of a tag, one JSON object a line, once there are so many."""

    def arrived() -> list[bytes]:
        lines = bytes_of(client, tag).splitlines()
        return lines if len(lines) >= count else []

    return [json.loads(line) for line in until(arrived, f"{count} records of {tag}", within_s)]


class Proxy:
    """Stands before a portal and is bad at first: each fault is for one POST, then all is well.

    A number is answered without asking the portal; `lost` asks it and loses the answer.
    """

    def __init__(self, portal: str, *faults: int | str) -> None:
        self.faults, self.seen = list(faults), list[tuple[str, str]]()
        self._lock, self._pool = (
            threading.Lock(),
            urllib3.connection_from_url(portal, maxsize=8, retries=False),
        )
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take, pool = self._take, self._pool

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fault = take(self.headers.get("Idempotency-Key", ""), self.headers.get("Authorization", ""))
                if isinstance(fault, int):
                    self._answer(fault)
                    return
                answer = pool.request("POST", self.path, body=body, headers=dict(self.headers))
                if fault == "lost":
                    self.close_connection = True
                    return
                self._answer(answer.status)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                if status == 503:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def _take(self, key: str, authorization: str) -> int | str:
        with self._lock:
            self.seen.append((key, authorization))
            return self.faults.pop(0) if self.faults else ""

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._pool.close()
