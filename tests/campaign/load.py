"""Load from wrk, and clients that hold connections without using them."""

import os
import re
import selectors
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest
from tests.conftest import CONTINUE
from tests.functional.program import Headers

BODY_BYTES = 8192
_SCRIPT = """
local body, threads = string.rep("x", {size} - 1) .. "\\n", 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function init(args) sent = 0 end
function request()
  sent = sent + 1
  local headers = {{["Authorization"] = "{login}", ["Content-Type"] = "application/octet-stream"}}
  headers["Idempotency-Key"] = "{run}-" .. id .. "-" .. sent
  return wrk.format("POST", "/portal_ingestion_policies/default/ingest?reference={tag}", headers, body)
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk tells: answers that were 200, others, and the seconds it took."""

    good: int
    refused: int
    seconds: float

    @property
    def goodput(self) -> float:
        """Requests stored per second."""
        return self.good / self.seconds


def send(folder: Path, url: str, headers: Headers, connections: int, seconds: int, tag: str) -> Load:
    """Send on so many connections, each one request after the other, from the last processor."""
    wrk = shutil.which("wrk")
    if wrk is None:
        pytest.fail(f"wrk is missing; {CONTINUE}", pytrace=False)
    script = folder / f"{tag}-{connections}.lua"
    login = headers["Authorization"]
    script.write_text(_SCRIPT.format(size=BODY_BYTES, login=login, run=time.time_ns(), tag=tag))
    last = max(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(last), wrk, "-t1", f"-c{connections}", f"-d{seconds}s"]
    told = subprocess.run(
        [*command, "--timeout", "30s", "-s", str(script), url], capture_output=True, text=True, check=True
    ).stdout
    answers = re.search(r"(\d+) requests in ([\d.]+)(m|s)", told)
    assert answers is not None, told
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    others = int(refused[1]) if refused else 0
    took = float(answers[2]) * (60 if answers[3] == "m" else 1)
    return Load(int(answers[1]) - others, others, took)


class Idlers(threading.Thread):
    """Connections that say nothing after one request, and others whose headers come a byte a second."""

    def __init__(self, url: str, idle: int, dripping: int) -> None:
        super().__init__(daemon=True)
        self._address = (urlsplit(url).hostname, urlsplit(url).port)
        self._selector, self._ending = selectors.DefaultSelector(), threading.Event()
        self.closed = 0
        for number in range(idle + dripping):
            self._connect(number < dripping)

    def _connect(self, drips: bool) -> None:
        connection = socket.create_connection(self._address, 30)
        if drips:
            connection.sendall(b"POST /portal_ingestion_policies/default/ingest HTTP/1.1\r\nX: ")
        else:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, drips)

    def run(self) -> None:
        """Let the slow ones drip; open anew what the portal closes."""
        while not self._ending.wait(1):
            for key in list(self._selector.get_map().values()):
                if key.data:
                    self._drip(key.fileobj)  # type: ignore[arg-type]
            for key, _ in self._selector.select(0):
                self._renew(key.fileobj, key.data)  # type: ignore[arg-type]

    def _drip(self, connection: socket.socket) -> None:
        try:
            connection.send(b"y")
        except OSError:
            self._renew(connection, True)

    def _renew(self, connection: socket.socket, drips: bool) -> None:
        if connection in {key.fileobj for key in self._selector.get_map().values()}:
            self._selector.unregister(connection)
            connection.close()
            self.closed += 1
            self._connect(drips)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self.join(30)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
