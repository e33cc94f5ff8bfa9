"""tus as its clients speak it, each on the code of its page, and each cut in the middle."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.functional import doors
from tests.functional.cutting import CuttingProxy
from tests.functional.doors import block, new_token, replaced
from tests.functional.program import Client, Program

BYTES = os.urandom(5 << 20)
CHUNK = 1 << 20

Make = Callable[..., list[str]]


@pytest.fixture(scope="session")
def token(client: Client) -> str:
    return new_token(client, "write")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "turbine.wav"
    path.write_bytes(BYTES)
    return path


@pytest.fixture
def proxy(program: Program) -> Iterator[CuttingProxy]:
    """Cuts thrice, each time within a chunk."""
    with CuttingProxy(program.port, [CHUNK // 2, 2 * CHUNK, 4 * CHUNK]) as running:
        yield running


def js(proxy: CuttingProxy, stream: str, token: str, recording: Path, delays: str) -> list[str]:
    """Return the command that runs the page's JavaScript, with these pauses before it tries again."""
    script = recording.with_name("upload.js")
    text = _code("js", proxy, stream, token, recording)
    script.write_text(replaced(text, **{"[0, 1000, 3000, 5000, 10000, 20000]": delays}))
    return doors.node(script)


def python(proxy: CuttingProxy, stream: str, token: str, recording: Path, retries: int) -> list[str]:
    """Return the command that runs the page's Python, which tries again so often."""
    text = _code("python", proxy, stream, token, recording)
    wanted = {"retries=20": f"retries={retries}", "retry_delay=3": "retry_delay=0.01"}
    return [sys.executable, "-c", replaced(text, **wanted)]


def _code(language: str, proxy: CuttingProxy, stream: str, token: str, recording: Path) -> str:
    said = {"data_stream_module/YOUR_STREAM": stream, "/var/lib/recordings": recording.parent, "8 *": "1 *"}
    return replaced(block("tus.md", language), portal=proxy.url, token=token, **said)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=50)


@pytest.mark.parametrize("make", [js, python], ids=["tus-js-client", "tuspy"])
def test_client_goes_on_after_cuts(
    client: Client, token: str, proxy: CuttingProxy, recording: Path, make: Make
) -> None:
    stream = client.stream(f"doors.cut.{make.__name__}", b"before ")
    done = run(make(proxy, stream, token, recording, "[10, 10, 10]" if make is js else 20))
    assert done.stdout == "stored\n", done.stderr
    assert proxy.cuts == 3 and proxy.sent < 1.7 * len(BYTES)
    assert client.data(stream) == b"before " + BYTES


@pytest.mark.parametrize("make", [js, python], ids=["tus-js-client", "tuspy"])
def test_client_that_gave_up_goes_on_when_it_is_run_again(
    client: Client, token: str, proxy: CuttingProxy, recording: Path, make: Make
) -> None:
    stream = client.stream(f"doors.again.{make.__name__}", b"before ")
    command = make(proxy, stream, token, recording, "[]" if make is js else 0)
    runs = [run(command) for _ in range(4)]
    assert [done.returncode for done in runs] == [1, 1, 1, 0], [done.stderr for done in runs]
    assert runs[-1].stdout == "stored\n" and proxy.sent < 1.7 * len(BYTES)
    assert client.data(stream) == b"before " + BYTES
