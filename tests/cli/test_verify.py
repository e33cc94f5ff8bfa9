"""`haywain verify`: its exit codes, its lines and its JSON."""

import json
from pathlib import Path

import pytest
from tests.cli.test_cli import run
from tests.damage import flipped, make_portal, payload_spans

from haywain.app import open_site
from haywain.settings import load


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_portal(tmp_path / "var").data


def test_a_sound_database_is_0(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--data", directory) == 0
    shown = capsys.readouterr()
    last = shown.out.splitlines()[-1]
    assert last.startswith("haywain: checked ") and last.endswith(": sound")
    assert not shown.err


def test_a_damaged_one_is_1_and_each_problem_a_line(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = payload_spans(directory)[0]
    with flipped(span.path, span.start * 8):
        assert run("verify", "--data", directory) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("checksum: data_stream_module/") and last.endswith(": 1 problems")


def test_json_is_the_report(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    span = payload_spans(directory)[-1]
    with flipped(span.path, span.start * 8):
        assert run("verify", "--data", directory, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False and report["checked"]["transactions"] > 3
    assert [problem["kind"] for problem in report["problems"]] == ["checksum"]
    assert set(report["problems"][0]) >= {"kind", "path", "oid", "detail"}


def test_a_database_that_a_portal_has_open_is_verified(directory: Path) -> None:
    site, _ = open_site(load(data=directory))
    try:
        assert run("verify", "--data", directory) == 0
        assert run("verify", "--database", f"file:{directory}", "--data", directory) == 0
    finally:
        site.close()


def test_a_directory_without_a_database_is_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--data", tmp_path) == 78
    assert "Data.fs is missing" in capsys.readouterr().err
