"""The forward protocol as its clients speak it, on the settings and the code of the pages."""

import contextlib
import html
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from tests.forward.client import Client as ForwardClient
from tests.functional import doors
from tests.functional.doors import Proxy, block, bytes_of, replaced, running
from tests.functional.program import Client, Program, basic, until

import haywain

KEY = "a shared key"
ABSENT = {
    "fluentd": "fluentd is not here: Debian has no package of it; install fluent-package, or the gem",
    "fluent-bit": "fluent-bit is not here: Debian has no package of it; install its own",
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of the page, with a token that a portal knows."""
    data = tmp_path_factory.mktemp("forward") / "var"
    with haywain.open(str(data)) as portal:
        token = portal.new("Token", login="admin", scopes=("ingest:default",)).shown_once()["secret"]
        portal.commit()
    found = dict(line.split("=") for line in block("forward.md", "sh").splitlines())
    assert set(found) == {"HAYWAIN_FORWARD_PORT", "HAYWAIN_FORWARD_TOKEN", "HAYWAIN_FORWARD_SHARED_KEY"}
    found |= {"HAYWAIN_FORWARD_TOKEN": token, "HAYWAIN_FORWARD_SHARED_KEY": KEY, "HAYWAIN_DATA": str(data)}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found["HAYWAIN_FORWARD_PORT"] = str(probe.getsockname()[1])
    return found


@pytest.fixture(scope="module")
def door(settings: dict[str, str]) -> Iterator[Program]:
    """A portal with the door open to who knows the key."""
    with Program(Path(settings["HAYWAIN_DATA"]), **settings) as program:
        yield program
        assert program.stop() == 0
        assert "Traceback" not in program.log, program.log


@pytest.fixture(scope="module")
def port(settings: dict[str, str]) -> int:
    return int(settings["HAYWAIN_FORWARD_PORT"])


def events(body: bytes) -> list[Any]:
    """Return the records of concatenated msgpack `[time, record]`."""
    return [record for _, record in unpacked(body)]


def unpacked(body: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(body)
    return list(unpacker)


def test_fluent_logger_of_python(settings: dict[str, str], port: int) -> None:
    code = replaced(block("forward.md", "python"), forward=str(port))
    keyless = settings | {"HAYWAIN_FORWARD_SHARED_KEY": ""}
    with Program(Path(settings["HAYWAIN_DATA"]), **keyless) as program:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        client = program.client(password_of(settings))
        body = until(lambda: bytes_of(client, "greenhouse.temperature"), "the record")
        assert program.stop() == 0
    assert events(body) == [{"celsius": 21.5}]
    assert body[1:3] == b"\xd7\x00", "a time of nanoseconds is ext 0 of 8 bytes"


def password_of(settings: dict[str, str]) -> dict[str, str]:
    """Return the credentials of the administrator, whose password was made up."""
    return basic("admin", (Path(settings["HAYWAIN_DATA"]) / "admin-password").read_text().strip())


@pytest.fixture
def client(door: Program, settings: dict[str, str]) -> Client:
    return door.client(password_of(settings))


def test_fluent_org_logger_of_node(client: Client, port: int, tmp_path: Path) -> None:
    script = tmp_path / "send.js"
    code = block("forward.md", "js").replace("greenhouse", "node")
    script.write_text(replaced(code, forward=str(port), key=KEY))
    done = subprocess.run(doors.node(script), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert events(bytes_of(client, "node.temperature")) == [{"celsius": n} for n in (21.5, 21.7, 21.9)]


def test_chunks_are_stored_once_and_in_order_over_kills(
    door: Program, settings: dict[str, str], port: int
) -> None:
    acked: list[int] = []
    sender = threading.Thread(target=_send_all, args=(port, 120, acked))
    sender.start()
    for count in (20, 70):
        until(lambda count=count: len(acked) > count, "some of the chunks", 30)
        door.kill()
        door.start()
    assert len(acked) < 120
    sender.join(30)
    assert acked == list(range(120))
    body = bytes_of(door.client(password_of(settings)), "kills")
    assert events(body) == [{"number": number} for number in range(120)]


def _send_all(port: int, count: int, acked: list[int]) -> None:
    """Send each chunk until it is acknowledged, as fluentd does, and the next one then."""
    connection: ForwardClient | None = None
    while len(acked) < count:
        number = len(acked)
        body = msgpack.packb([number, {"number": number}])
        with contextlib.suppress(OSError):
            connection = connection or _connected(port)
            connection.send("kills", body, {"chunk": f"chunk {number}"})
            if connection.answer() == {"ack": f"chunk {number}"}:
                acked.append(number)
                continue
        if connection is not None:
            connection.close()
            connection = None
    assert connection is not None
    connection.close()


def _connected(port: int) -> ForwardClient:
    connection = ForwardClient(port)
    try:
        if connection.shake_hands(KEY) is not None:
            return connection
    except OSError:
        connection.close()
        raise
    connection.close()
    raise ConnectionResetError


def test_page_of_fluentd_has_the_configuration_that_the_portal_shows(client: Client) -> None:
    answer = client("GET", "/portal_ingestion_policies/default", None, {"Accept": "text/html"})
    shown = [line.strip() for line in html.unescape(answer.body.decode()).splitlines()]
    _, _, match = block("fluentd.md", "/etc/fluent/fluent.conf").partition("<match your.tags.**>")
    said = [line.strip() for line in match.removesuffix("</match>\n").splitlines() if line]
    own = ("endpoint", "password")  # of another portal
    missing = [line for line in said if not line.startswith(own) and line not in shown]
    assert said and not missing


def present(name: str) -> str:
    """Return the path of a program that no archive has that we reach, or skip and say so."""
    found = shutil.which(name) or shutil.which(name, path=f"/opt/fluent/bin:/opt/{name}/bin")
    if found is None:
        pytest.skip(ABSENT[name])
    return found


def tail(program: str, page: str, tag: str, folder: Path) -> list[str | Path]:
    """Return the command that has fluentd send the lines of a file by the configuration of the page."""
    log, own = folder / "app.log", folder / "fluent.conf"
    source = f"<source>\n@type tail\npath {log}\ntag {tag}\nread_from_head true\npos_file {folder}/pos\n"
    said = {"/var/lib/fluent": folder, "your.tags.**": "fluentd.**"}
    own.write_text(source + "<parse>\n@type none\n</parse>\n</source>\n" + replaced(page, **said))
    log.write_text("one\ntwo\n")
    return [present(program), "-c", own]


def as_text(line: str | bytes) -> str:
    """Return a line as text: what fluentd reads has no encoding, and is sent as bytes."""
    return line.decode() if isinstance(line, bytes) else line


def test_fluentd_by_http(client: Client, settings: dict[str, str], tmp_path: Path) -> None:
    """Through a proxy that answers what fluentd by itself would take for good, and loses an answer."""
    present("fluentd")
    with Proxy(client.url, 429, "lost") as proxy:
        page = block("fluentd.md", "/etc/fluent/fluent.conf")
        page = replaced(page, portal=proxy.url, token=settings["HAYWAIN_FORWARD_TOKEN"])
        with running(tail("fluentd", page, "fluentd.http", tmp_path), tmp_path / "log"):
            until(lambda: len(proxy.seen) == 3, "three tries", 30)
            until(lambda: bytes_of(client, "fluentd.http"), "the records")
        assert len(set(proxy.seen)) == 1
    records = unpacked(bytes_of(client, "fluentd.http"))
    assert [as_text(record["message"]) for record in records] == ["one", "two"]
    assert all(isinstance(record["time"], float) for record in records)


def test_fluentd_by_forward(client: Client, port: int, tmp_path: Path) -> None:
    present("fluentd")
    page = replaced(block("fluentd.md", "/etc/fluent/fluent-forward.conf"), forward=str(port), key=KEY)
    with running(tail("fluentd", page, "fluentd.forward", tmp_path), tmp_path / "log"):
        until(lambda: bytes_of(client, "fluentd.forward"), "the records", 30)
    records = events(bytes_of(client, "fluentd.forward"))
    assert [as_text(record["message"]) for record in records] == ["one", "two"]


def test_fluent_bit(client: Client, port: int, tmp_path: Path) -> None:
    fluent_bit, log, state = present("fluent-bit"), tmp_path / "app.log", tmp_path / "state"
    said = {"/var/lib/fluent-bit": state, "/var/log/app.log": log, "app.log": "fluent-bit.log"}
    page = block("fluent-bit.md", "/etc/fluent-bit/fluent-bit.conf")
    own = tmp_path / "fluent-bit.conf"
    own.write_text(replaced(page, forward=str(port), key=KEY, **said))
    state.mkdir()
    log.with_name("fluent-bit.log").write_text("one\ntwo\n")
    with running([fluent_bit, "-c", own], tmp_path / "log"):
        until(lambda: len(events(bytes_of(client, "fluent-bit.log"))) >= 2, "the records", 30)
    assert events(bytes_of(client, "fluent-bit.log")) == [{"log": "one"}, {"log": "two"}]
