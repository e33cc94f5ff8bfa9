"""Pulling from devices' HTTP servers: that know ranges and tags, that know nothing, that break off."""

import errno
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import Setup, serving
from tests.agent.numbered import NumberedListener
from tests.functional.program import until

from haywain.agent.config import load_config
from haywain.agent.source import Draft
from haywain.agent.sources.pull import Pull
from haywain.errors import InvalidError


class Device(ThreadingHTTPServer):
    """Serves `files`; `knows` these headers, and breaks answers off after the bytes in `cuts`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.knows = {"Range", "ETag"}
        self.tells_length = True
        self.cuts: list[int] = []
        self.asked: list[tuple[str, str, int]] = []
        self.sent_bytes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Device

    def do_GET(self) -> None:
        if self.path not in self.server.files:
            self._answer(404, b"")
            return
        body = self.server.files[self.path]
        tag = f'"{hash(body):x}"'
        start = self.headers.get("Range", "").removeprefix("bytes=").rstrip("-")
        headers = {"ETag": tag} if "ETag" in self.server.knows else {}
        if headers and self.headers.get("If-None-Match") == tag:
            self._answer(304, b"", headers)
        elif not start or "Range" not in self.server.knows:
            self._answer(200, body, headers)
        elif int(start) >= len(body):
            self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        else:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self._answer(206, body[int(start) :], headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.server.asked.append((self.path, self.headers.get("Range", ""), status))
        self.send_response(status)
        length = {"Content-Length": str(len(body))} if self.server.tells_length else {}
        for name, value in {**(headers or {}), **length}.items():
            self.send_header(name, value)
        self.end_headers()
        if body and self.server.cuts:
            body = body[: self.server.cuts.pop(0)]
        self.server.sent_bytes += len(body)
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def device() -> Iterator[Device]:
    with serving(Device()) as server:
        yield server


@pytest.fixture
def pull(device: Device) -> str:
    return (
        f'dev]\ntype = "pull"\nurls = ["{device.url}/log/a.csv"]\ntag = "{{device}}.{{path}}"\n'
        "interval_s = 0.02\nframe_bytes = 2048"
    )


TAG = "127-0-0-1.log.a.csv"
DATA = b"".join(b"%d;21.5\n" % number for number in range(1000))
ALL_WAYS = pytest.mark.parametrize(
    "knows",
    [{"Range", "ETag"}, {"Range"}, {"ETag"}, set()],
    ids=["range and etag", "range", "etag", "neither"],
)


@ALL_WAYS
def test_file_that_grows_is_read_once(
    knows: set[str], setup: Setup, listener: NumberedListener, device: Device, pull: str
) -> None:
    device.knows = knows
    for stop in (100, 5000, 5000, len(DATA)):
        device.files["/log/a.csv"] = DATA[:stop]
        assert setup.once(pull) == 0
        assert listener.tag(TAG) == DATA[:stop]
    if "Range" in knows:
        assert device.sent_bytes <= len(DATA) + 4 * 256


@ALL_WAYS
def test_replaced_file_is_read_from_its_beginning(
    knows: set[str], setup: Setup, listener: NumberedListener, device: Device, pull: str
) -> None:
    device.knows = knows
    other = b"".join(b"%d;99.9\n" % number for number in range(2000))
    for body in (DATA, other, b"short\n"):
        device.files["/log/a.csv"] = body
        setup.once(pull)
    assert listener.tag(TAG) == DATA + other + b"short\n"


def test_broken_connection_goes_on_at_its_offset(
    setup: Setup, listener: NumberedListener, device: Device, pull: str
) -> None:
    device.files["/log/a.csv"] = DATA
    device.cuts = [3000, 10, 3000, 257]
    running = setup.start(pull)
    until(lambda: listener.tag(TAG) == DATA, "the whole file")
    assert running.stop() == 0
    assert ("/log/a.csv", "bytes=2744-", 206) in device.asked


@pytest.mark.parametrize("mode", ["grow", "changed"])
def test_answer_without_a_length_that_is_cut_is_asked_for_again(
    mode: str, setup: Setup, listener: NumberedListener, device: Device, pull: str
) -> None:
    device.tells_length = False
    device.files["/log/a.csv"] = DATA
    device.cuts = [3000]
    running = setup.start(pull.replace("2048", "32768") + f'\nmode = "{mode}"')
    until(lambda: listener.tag(TAG) == (DATA[:3000] if mode == "changed" else b"") + DATA, "the whole file")
    assert running.stop() == 0


def test_unchanged_file_is_not_sent_again_by_the_device(
    setup: Setup, listener: NumberedListener, device: Device, pull: str
) -> None:
    device.files["/log/a.csv"] = DATA
    running = setup.start(pull)
    until(lambda: [status for *_, status in device.asked].count(304) > 3, "some questions")
    running.stop()
    assert device.sent_bytes == len(DATA)


def test_index_is_crawled(setup: Setup, listener: NumberedListener, device: Device) -> None:
    device.files = {
        "/log/": b'<a href="../">up</a><a href="a.csv">a</a><A HREF="b.txt">b</A><a href="sub/">s</a>',
        "/log/sub/": b'<a href="/log/">up</a><a href="/log/sub/c%20d.csv">c</a><a href="http://else/x.csv">x</a>',
        "/log/a.csv": b"a\n", "/log/b.txt": b"b\n", "/log/sub/c%20d.csv": b"c\n",
    }  # fmt: skip
    source = (
        f'dev]\ntype = "pull"\nindex = "{device.url}/log/"\nmatch = ["*.csv"]\ndepth = 1\ntag = "{{path}}"'
    )
    assert setup.once(source) == 0
    assert {tag: data for (_, tag), data in listener.streams.items()} == {
        "log.a.csv": b"a\n", "log.sub.c d.csv": b"c\n",
    }  # fmt: skip


@pytest.mark.parametrize(("mode", "expected"), [("changed", b"1223"), ("always", b"11223")], ids=str)
def test_pages_are_sent_whole(
    mode: str, expected: bytes, setup: Setup, listener: NumberedListener, device: Device, pull: str
) -> None:
    device.knows = set()
    for body in (b"1", b"1", b"22", b"3"):
        device.files["/log/a.csv"] = body
        assert setup.once(f'{pull}\nmode = "{mode}"') == 0
    assert listener.tag(TAG) == expected


def test_trouble_of_a_device_is_told_and_goes_by(
    setup: Setup, listener: NumberedListener, device: Device, pull: str, caplog: pytest.LogCaptureFixture
) -> None:
    running = setup.start(pull)
    until(lambda: "it answers 404" in caplog.text, "the trouble to be told")
    device.files["/log/a.csv"] = DATA
    until(lambda: listener.tag(TAG) == DATA, "the file")
    until(lambda: not running.agent.board.sources["dev"].trouble, "the trouble to be over")
    running.stop()
    assert caplog.text.count("it answers 404") == 1


def test_device_that_is_away_is_partly(setup: Setup, device: Device, pull: str, free_port: int) -> None:
    assert setup.once(pull.replace(str(device.server_port), str(free_port))) == 3


def test_neither_url_nor_index_is_refused(setup: Setup, tmp_path: Path) -> None:
    setup.write('dev]\ntype = "pull"')
    (source,) = load_config(setup.path, {}).sources
    with pytest.raises(InvalidError, match="must be given"):
        source.cls.describe(source.config)


def test_index_that_is_empty_for_a_while_doubles_nothing(
    setup: Setup, listener: NumberedListener, device: Device
) -> None:
    source = f'dev]\ntype = "pull"\nindex = "{device.url}/log/"\ntag = "{{name}}"'
    page = b'<a href="a.csv">a</a>'
    device.files = {"/log/": page, "/log/a.csv": b"1\n"}
    for text in (page, b"<p>The device starts, please wait</p>", page):
        device.files["/log/"] = text
        assert setup.once(source) == 0
    assert listener.tag("a.csv") == b"1\n"


class _FullOutlet:
    """An outlet whose spool fails with the second chunk: what was collected is gone then."""

    is_once = False

    def __init__(self) -> None:
        self.positions: dict[str, Any] = {}
        self.collected: list[Draft] = []
        self.tries = 0

    def collect(self, draft: Draft) -> None:
        self.tries += 1
        self.collected.append(draft)
        if self.tries == 2:
            self.collected.clear()
            raise OSError(errno.ENOSPC, "No space left on device")

    def is_stopping(self) -> bool:
        return False

    def tag(self, fields: dict[str, str]) -> str:
        return fields["name"]

    def put(self, *drafts: Draft) -> None:
        pass

    def trouble(self, message: str) -> None:
        pass


def test_chunk_that_the_spool_did_not_take_is_not_put_without_those_before_it(device: Device) -> None:
    device.files["/a.csv"] = bytes(5000)
    outlet: Any = _FullOutlet()
    source = Pull(Pull.Config(type="pull", urls=(f"{device.url}/a.csv",), frame_bytes=1024), outlet)
    source._try(f"{device.url}/a.csv")
    assert outlet.tries == 2
    assert outlet.collected == []
