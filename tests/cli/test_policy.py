"""`haywain policy`: made, listed and waited for over HTTP."""

import json
import threading
from collections.abc import Iterator

import pytest
from tests.cli.test_cli import run
from tests.functional.program import Client, Program

URL = "HAYWAIN_URL"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("policy") / "var") as program:
        yield program


@pytest.fixture
def client(serving: Program) -> Iterator[Client]:
    made = serving.client()
    yield made
    made.close()


@pytest.fixture
def managing(serving: Program, client: Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """The token of a Manager, in the environment."""
    secret = str(client.make("token_module", login="admin", scopes=["admin"])["secret"])
    monkeypatch.setenv(URL, serving.url)
    monkeypatch.setenv("HAYWAIN_TOKEN", secret)
    return secret


def test_add_prints_what_to_copy(managing: str, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("policy", "add", "mast", "--title", "Wind", "--rule", "csv") == 0
    shown = capsys.readouterr().out
    token = next(line for line in shown.splitlines() if line.startswith("token: "))[7:]
    assert "@type http" in shown and shown.count(token) > 5 and "rule csv" in shown
    url = "/portal_ingestion_policies/mast/ingest?reference=mast"
    sent = client(
        "POST", url, b"a,b\n1,2\n", {"Authorization": f"Bearer {token}", "Content-Type": "text/csv"}
    )
    assert sent.is_stored


def test_add_and_ls_as_json(managing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("policy", "add", "as-json", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert (
        made["reference"] == "as-json"
        and made["token"].startswith("hw_")
        and "curl" in made["configurations"]
    )
    assert run("policy", "ls", "--json") == 0
    assert "as-json" in [one["reference"] for one in json.loads(capsys.readouterr().out)["items"]]
    assert run("policy", "ls") == 0
    assert "as-json\tvalidated\tappend_as_is\tas-json\n" in capsys.readouterr().out


def test_add_twice_is_an_error_that_names_it(managing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("policy", "add", "again") == 0
    capsys.readouterr()
    assert run("policy", "add", "again") == 1
    shown = capsys.readouterr()
    assert "already an Ingestion Policy 'again'" in shown.err and not shown.out


def test_wait_ends_with_the_first_byte(
    managing: str, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    def send() -> None:
        while client.ingest("x", b"x").status != 200:
            pass
        url = "/portal_ingestion_policies/waited/ingest?reference=first"
        while client("POST", url, b"hello", {"Content-Type": "application/octet-stream"}).status != 200:
            pass

    sender = threading.Thread(target=send)
    sender.start()
    assert run("policy", "add", "waited", "--wait", "--timeout", "20") == 0
    sender.join()
    assert "arrived: 5 bytes in first (data_stream_module/" in capsys.readouterr().out


def test_wait_for_nothing_is_75(managing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("policy", "add", "silent", "--wait", "--timeout", "1") == 75
    assert "Nothing has come to silent" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "token", "code"), [("", "hw_x", 2), (None, "hw_wrong", 77), ("http://127.0.0.1:1", "hw_x", 69)]
)
def test_portal_that_does_not_do_it(
    serving: Program, monkeypatch: pytest.MonkeyPatch, url: str | None, token: str, code: int
) -> None:
    monkeypatch.setenv(URL, serving.url if url is None else url)
    monkeypatch.setenv("HAYWAIN_TOKEN", token)
    assert run("policy", "ls") == run("policy", "add", "x") == code
