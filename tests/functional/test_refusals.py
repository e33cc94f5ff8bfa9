"""What cannot start says so in one line on stderr and by its exit code, and leaves what is there as it is."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.functional.program import START_S, Client, Program, run

import haywain
from haywain.cli import main

# Root may write everywhere, so it becomes somebody else once all modules are loaded.
AS_NOBODY = """
import os, sys, haywain.app, haywain.cli.serve
from haywain.cli import main
os.geteuid() or os.seteuid(65534)
main(sys.argv[1:])
"""


def refused(code: int, done: subprocess.CompletedProcess[str], says: str) -> None:
    """Check that a command failed with one line on stderr."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("haywain: ") and done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr


def serve(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("serve", "--data", data, "--port", "0", *arguments)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Run a verb in this process: a start of Python for each case takes too long."""

    def check(code: int, says: str, *arguments: str | Path) -> None:
        with pytest.raises(SystemExit) as stop:
            main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        refused(code, subprocess.CompletedProcess(arguments, int(str(stop.value)), out, err), says)

    return check


def test_port_in_use(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(75, serve(folder / "var", "--port", port), f"Port {port}")


def test_address_of_another_machine(folder: Path) -> None:
    refused(78, serve(folder / "var", "--host", "192.0.2.1"), "192.0.2.1")


def test_data_directory_in_use_by_another_process(program: Program, client: Client) -> None:
    refused(75, serve(program.data), f"in use by process {program.pid}")
    assert client.ingest("still-running", b"yes").is_stored


def test_read_only_data_directory(folder: Path) -> None:
    data = folder / "var"
    haywain.open(str(data)).close()
    folder.chmod(0o755)
    before = files(data)
    paths = [data, *data.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [sys.executable, "-c", AS_NOBODY, "serve", "--data", str(data), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S)
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    refused(77, done, "the right to write there")
    assert files(data) == before
    haywain.open(str(data)).close()


def test_data_directory_where_none_can_be_made(refuse: Callable[..., None]) -> None:
    refuse(77, "/sys/haywain", "reindex", "--data", "/sys/haywain")


def test_directory_of_something_else(folder: Path) -> None:
    (folder / "letters.txt").write_text("Dear Ada")
    refused(78, serve(folder), "not a data directory of Haywain")
    assert [path.name for path in folder.iterdir()] == ["letters.txt"]


def test_file_for_a_directory(folder: Path, refuse: Callable[..., None]) -> None:
    (folder / "letters.txt").write_text("Dear Ada")
    refuse(78, "is not a directory", "reindex", "--data", folder / "letters.txt")


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        pytest.param(json.dumps({"format": 99, "version": "9.0"}), "newer version", id="newer"),
        pytest.param("{", "damaged", id="no-json"),
        pytest.param("[]", "damaged", id="no-object"),
        pytest.param('{"format": null}', "damaged", id="no-number"),
        pytest.param("\x00" * 40, "damaged", id="zeros"),
    ],
)
def test_data_directory_of_another_version(
    folder: Path, refuse: Callable[..., None], marker: str, says: str
) -> None:
    (folder / "haywain.json").write_text(marker)
    before = files(folder)
    refuse(78, says, "reindex", "--data", folder)
    assert {name: content for name, content in files(folder).items() if not name.endswith("lock")} == before


def test_newer_data_directory_is_not_served(folder: Path) -> None:
    (folder / "haywain.json").write_text('{"format": 2, "version": "9.0"}')
    refused(78, serve(folder), "written by Haywain 9.0")


@pytest.mark.parametrize("name", ["Data.fs", "catalog.sqlite", "uploads", "blobs", "haywain.lock"])
def test_entry_of_the_wrong_kind(folder: Path, refuse: Callable[..., None], name: str) -> None:
    """A directory where a file belongs, a file where a directory belongs."""
    with haywain.open(str(folder / "var")):
        pass
    entry = folder / "var" / name
    is_file = entry.is_file()
    entry.rename(folder / "aside")
    entry.mkdir() if is_file else entry.write_bytes(b"")
    refuse(78, "Is a directory" if name == "haywain.lock" else name, "reindex", "--data", folder / "var")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        pytest.param("HAYWAIN_THREADS", "many", "threads", id="no-number"),
        pytest.param("HAYWAIN_PORT", "70000", "port", id="out-of-range"),
        pytest.param("HAYWAIN_BODY_BYTES", "-1", "body_bytes", id="negative"),
        pytest.param("HAYWAIN_ADMIN_PASSWORD", "short", "8 to 1024 characters", id="short-password"),
        pytest.param("HAYWAIN_DATABASE", "gopher://x", "gopher://x", id="database"),
    ],
)
def test_bad_setting(
    folder: Path,
    refuse: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    says: str,
) -> None:
    monkeypatch.setenv(name, value)
    refuse(78, says, "reindex", "--data", folder / "var")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param(b"\xff\xfe", "cannot be read", id="no-text"),
        pytest.param(b"threads = 2\n", "cannot be read", id="no-section-header"),
        pytest.param(b"[other]\nthreads = 2", "no section [haywain]", id="no-section"),
        pytest.param(b"[haywain]\nthread = 2", "'thread', which is no setting", id="unknown"),
        pytest.param(b"[haywain]\nthreads = two", "'threads' cannot be used", id="no-number"),
    ],
)
def test_bad_configuration(
    folder: Path, refuse: Callable[..., None], content: bytes | None, says: str
) -> None:
    ini = folder / "haywain.ini"
    if content is not None:
        ini.write_bytes(content)
    refuse(78, says, "reindex", "--data", folder / "var", "--config", ini)
    assert not (folder / "var").exists()


def test_bad_configuration_is_not_served(folder: Path) -> None:
    (folder / "haywain.ini").write_text("[haywain]\nthreads = none")
    refused(78, serve(folder / "var", "--config", str(folder / "haywain.ini")), "threads")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["sing"], "No such command", id="verb"),
        pytest.param(["serve", "--dat", "x"], "No such option", id="option"),
        pytest.param(["serve", "--port", "http"], "not a valid integer", id="value"),
    ],
)
def test_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert says in capsys.readouterr().err
