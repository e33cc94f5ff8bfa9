"""`haywain run` and `haywain activities`, on a portal that serves."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cli.test_cli import run
from tests.functional.program import Client, Program, until

from haywain.cli import following

CSV = b"time,celsius\n" + b"".join(b"%d,%d\n" % (number, number % 7) for number in range(5000))
Shown = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("run") / "var") as program:
        yield program


@pytest.fixture
def client(serving: Program) -> Iterator[Client]:
    made = serving.client()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def working(serving: Program, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token with the scope activity, in the environment."""
    token = str(client.make("token_module", login="admin", scopes=["activity", "read"])["secret"])
    monkeypatch.setenv("HAYWAIN_URL", serving.url)
    monkeypatch.setenv("HAYWAIN_TOKEN", token)


@pytest.fixture(scope="module")
def stream(serving: Program) -> str:
    client = serving.client()
    path = client.stream("heat.csv", CSV)
    client.close()
    return path


def as_json(shown: Shown) -> Any:
    return json.loads(shown.readouterr().out)


@pytest.fixture
def array(stream: str, capsys: Shown) -> str:
    """The path of the array of the stream."""
    assert run("run", "stream_to_array", stream, "--whole", "--json") == 0
    return str(as_json(capsys)["result"]["array"])


def test_work_is_done_in_parts_and_its_result_printed(array: str, client: Client, capsys: Shown) -> None:
    assert run("run", "statistics", array, "--step", "8KiB", "--parameter", "bins=4") == 0
    assert "rows: 5000" in capsys.readouterr().out
    assert run("run", "statistics", array, "--step", "8KiB", "--parameters", '{"bins": 4}', "--json") == 0
    job = as_json(capsys)
    assert job["work_state"] == "done" and job["parts"]["total"] > 5 and job["result"]["rows"] == 5000
    assert len(job["result"]["columns"][0]["histogram"]["counts"]) == 4
    assert run("activities", "show", job["path"]) == 0
    assert "state: done" in capsys.readouterr().out
    assert run("run", "statistics", "heat.csv") == 2  # a stream and an array have that reference
    assert "say which" in capsys.readouterr().err


def test_what_is_not_waited_for_is_followed_later(array: str, capsys: Shown) -> None:
    assert run("run", "statistics", array, "--no-wait") == 0
    job = capsys.readouterr().out.strip()
    assert job.startswith("job_module/") and run("activities", "wait", job) == 0
    assert "rows: 5000" in capsys.readouterr().out
    assert run("run", "verify", array, "--whole", "--no-wait", "--json") == 0
    id = as_json(capsys)["id"]
    assert run("activities", "wait", id, "--json") == 0
    assert as_json(capsys)["result"]["is_sound"] is True


def test_failure_is_told_and_retried(client: Client, capsys: Shown) -> None:
    path = client.stream("no.wav", b"this is no recording")
    assert run("run", "spectrum", path, "--whole") == 1
    assert "failed:" in capsys.readouterr().err
    assert run("activities", "--state", "failed", "--path", path) == 0
    line = capsys.readouterr().out.splitlines()[0].split("\t")
    assert line[1:] == ["failed", line[2], "spectrum", path, ""]
    assert run("activities", "show", line[0]) == 0
    assert "Traceback" in capsys.readouterr().out
    assert run("activities", "retry", line[0], "0" * 16) == 3
    shown = capsys.readouterr()
    assert line[0] in shown.out and "There is no activity" in shown.err
    assert run("activities", "wait", line[0]) == 1
    assert run("activities", "cancel", line[0]) == 0 and run("activities", "retry", "0" * 16) == 1
    assert run("activities", "--path", path, "--json", "--limit", "1") == 0
    until(lambda: client("GET", f"/api/v1/activities/{line[0]}").json["state"] == "cancelled", "the end")


def test_ctrl_c_leaves_it_running_and_says_how_to_go_on(
    array: str, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> Iterator[float]:
        raise KeyboardInterrupt
        yield 0.0

    monkeypatch.setattr(following, "_pauses", interrupted)
    assert run("run", "statistics", array) == 1
    said = capsys.readouterr().err
    job = said.partition("activities wait ")[2].partition("`")[0]
    monkeypatch.undo()
    monkeypatch.setenv("HAYWAIN_TOKEN", "")
    assert run("activities", "wait", job) == 2 and "scope activity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("statistics", "none"), 1, "no document with the reference"),
        (("nonsense", "{stream}"), 2, "nonsense"),
        (("seal", "{stream}", "--step", "1KiB"), 2, "is not, here"),
        (("spectrum", "{stream}", "--parameters", "[]"), 2, "JSON object"),
        (("spectrum", "{stream}", "--parameters", "{"), 2, "no JSON"),
        (("spectrum", "{stream}", "--parameter", "channel"), 2, "NAME=VALUE"),
        (("spectrum", "{stream}", "--parameter", "channel=left"), 2, "channel"),
        (("spectrum", "{stream}", "--url", "http://127.0.0.1:9"), 69, "does not answer"),
        (("spectrum", "{stream}", "--token", "none"), 77, "401"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_code(
    stream: str, capsys: Shown, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert run("run", *(argument.replace("{stream}", stream) for argument in arguments)) == code
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
