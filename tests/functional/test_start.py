"""Starting and stopping: one line on stdout, a password shown once, a stop that loses nothing."""

import http.client
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from tests.functional.program import ADMIN, PASSWORD, Client, Make, Program, basic, run, until

from haywain.values import MIB


def test_version_is_printed() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"haywain, version \d+\.\d+\S*\n", done.stdout)


def test_generated_password_is_shown_once_and_kept_for_its_owner(make: Make) -> None:
    program = make(HAYWAIN_ADMIN_PASSWORD="").start()
    kept = program.data / "admin-password"
    password = kept.read_text().strip()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert program.log.count(password) == 1 and len(password) >= 16
    assert program.client(basic("admin", password))("GET", "/api/v1/search").status == 200
    assert program.client(basic("admin", "x" + password))("GET", "/api/v1/search").status == 401
    assert program.stop() == 0
    assert re.fullmatch(r"haywain: serving http://127\.0\.0\.1:\d+\n", program.line)
    assert program.rest == b""
    program.start()
    assert program.log.count(password) == 1
    assert program.client(basic("admin", password))("GET", "/api/v1/search").status == 200


def test_given_password_is_neither_printed_nor_written(program: Program, client: Client) -> None:
    assert client("GET", "/api/v1/search").status == 200
    assert not (program.data / "admin-password").exists()
    assert PASSWORD not in program.log


def test_running_request_finishes_when_stopped_even_twice(make: Make) -> None:
    """The bytes are more than all buffers on the way take, so the request still runs when SIGTERM comes."""
    program = make().start()
    body = os.urandom(MIB) * 48
    path = program.client().stream("large", body)
    connection = http.client.HTTPConnection(urlsplit(program.url).netloc, timeout=20)
    connection.request("GET", f"/{path}/data", headers=ADMIN)
    answer = connection.getresponse()
    assert program.process is not None
    program.process.terminate()
    until(lambda: "Asked to stop" in program.log, "the signal to arrive")
    program.process.terminate()
    assert answer.read() == body
    connection.close()
    assert program.stop() == 0
    assert "Traceback" not in program.log


SIGNALLED = """
import os, signal, sys, threading
start = threading.Thread.start
def signalled(thread):
    if thread.name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGTERM)
    start(thread)
threading.Thread.start = signalled
from haywain.cli import main
main(["serve", "--data", sys.argv[2], "--port", "0"])
"""


@pytest.mark.parametrize("thread", ["housekeeping", "worker"])
def test_a_signal_in_the_middle_of_a_start_stops_it_cleanly(tmp_path: Path, thread: str) -> None:
    command = [sys.executable, "-c", SIGNALLED, thread, str(tmp_path / "var")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


def test_stop_during_posts_loses_nothing_acknowledged(make: Make) -> None:
    program = make().start()
    client, acknowledged, number = program.client(), list[bytes](), 0
    assert program.process is not None
    while True:
        line = f"{number:08d}\n".encode()
        try:
            answer = client.ingest("steady", line)
        except urllib3.exceptions.HTTPError:  # it stops
            break
        if answer.is_stored:
            acknowledged.append(line)
        number += 1
        if number == 10:
            program.process.terminate()
    assert program.wait() == 0
    client = program.start().client()
    path = client.search(reference="steady")["items"][0]["path"]
    assert client.data(path).startswith(b"".join(acknowledged))
    assert "Traceback" not in program.log
