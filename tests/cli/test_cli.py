"""The command: its verbs, its exit codes, one line where it fails."""

import json
import socket
import sys
from pathlib import Path

import pytest

from haywain import __version__, cli, portal_types
from haywain.app import open_site
from haywain.cli import main
from haywain.settings import load
from haywain.store import zeo_client

NO_VERBS = {"following", "logs", "options", "remote", "scratch", "telling", "wear"}


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    site, _ = open_site(load(data=tmp_path / "var", admin_password="correct horse"))
    site.transact(lambda p: p.new("Data Stream", reference="x"))
    site.close()
    return tmp_path / "var"


def test_each_verb_is_a_module_with_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    modules = {path.stem for path in Path(cli.__file__).parent.glob("[!_]*.py")} - NO_VERBS
    assert set(cli._VERBS) == modules
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in cli._VERBS) and "78 configuration" in shown


@pytest.mark.parametrize("verb", cli._VERBS)
def test_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "-h") == 0
    options = {"agent": "--config", "run": "--url", "activities": "--url"}
    assert options.get(verb, "--data") in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nope"], ["serve", "--nope"], ["serve", "--port", "many"]], ids=str)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert run(*arguments) == 2


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("haywain: ")
    return lines[0]


def test_reindex_counts_the_documents(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "catalog.sqlite").unlink()
    assert run("reindex", "--data", directory) == 0
    assert "documents indexed" in capsys.readouterr().out


def test_directory_in_use_is_75(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site, _ = open_site(load(data=directory))
    try:
        for verb in ("reindex", "serve"):
            assert run(verb, "--data", directory) == 75
            assert "in use" in one_line(capsys)
    finally:
        site.close()


def test_directory_of_a_newer_version_is_78(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "haywain.json").write_text(json.dumps({"format": 99, "version": "9.9"}))
    assert run("serve", "--data", directory) == 78
    assert "newer" in one_line(capsys)


def test_directory_that_is_not_ours_is_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    assert run("serve", "--data", tmp_path) == 78
    assert "thesis.doc" in one_line(capsys) and (tmp_path / "thesis.doc").read_text() == "mine"


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--database", "mysql://x"], ["--config", "/none.ini"]], ids=str
)
def test_bad_setting_is_78(directory: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve", "--data", directory, *arguments) == 78
    one_line(capsys)


def test_a_database_server_that_does_not_answer_is_69(
    directory: Path, free_port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zeo_client, "START_WAIT_S", 0.2)
    for verb in ("serve", "reindex"):
        assert run(verb, "--data", directory, "--database", f"zeo://127.0.0.1:{free_port}") == 69
        assert f"zeo://127.0.0.1:{free_port} does not answer; start it first" in one_line(capsys)
    open_site(load(data=directory))[0].close()


def test_port_in_use_is_75_and_gives_the_directory_back(
    directory: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        assert run("serve", "--data", directory, "--port", free_port) == 75
    assert str(free_port) in one_line(capsys)
    open_site(load(data=directory))[0].close()


def test_file_that_is_no_kind_is_named(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "portal_types").mkdir()
    (directory / "portal_types" / "broken_kind.py").write_text("def f(:\n")
    assert run("serve", "--data", directory) == 78
    assert "broken_kind" in one_line(capsys)
    portal_types.__path__.remove(str(directory / "portal_types"))
    sys.modules.pop("haywain.portal_types.broken_kind", None)
