"""`/api/v1/ingestion-policies`: fast input for programs."""

import base64
import gzip
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from webtest import TestApp

from haywain.portal import Site
from haywain.web.configurations import CLIENTS

Client = Callable[..., TestApp]
URL = "/api/v1/ingestion-policies"
JSON, WAV = "application/json", "audio/x-wav"


@pytest.fixture
def manager(program: Client) -> TestApp:
    return program("manager")


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_policy_is_made_and_its_token_sends(manager: TestApp, program: Client) -> None:
    answer = manager.post_json(URL, {"reference": "weather", "title": "W", "rule": "ndjson"}, status=201)
    made = answer.json
    assert answer.headers["Location"].endswith("/portal_ingestion_policies/weather")
    assert answer.headers["Cache-Control"] == "no-store"
    assert (made["reference"], made["title"], made["rule"], made["state"]) == (
        "weather",
        "W",
        "ndjson",
        "validated",
    )
    assert made["url"] == "http://localhost/portal_ingestion_policies/weather/ingest"
    sent = program().post(
        f"{made['url']}?reference=weather", b'{"a": 1}', bearer(made["token"]), content_type=JSON
    )
    assert sent.headers["Ingest-Status"] == "stored"
    status = manager.get(f"{URL}/weather").json
    assert [one["path"] for one in status["streams"]] == [sent.headers["Ingest-Stream"]]
    assert (status["received_bytes"], status["quarantined"]) == (8, 0)
    other = "/portal_ingestion_policies/default/ingest?reference=weather"
    program().post(other, b"x", bearer(made["token"]), status=403, content_type=JSON)
    program().get("/api/v1/search", headers=bearer(made["token"]), status=403)


def test_token_stands_nowhere_else(manager: TestApp) -> None:
    made = manager.post_json(URL, {"reference": "secretive"}, status=201).json
    for path in (f"{URL}/secretive", URL, f"/{made['path']}", f"/{made['token_path']}", f"/{made['supply']}"):
        found = manager.get(path, headers={"Accept": "application/json"})
        assert made["token"] not in found.text and "token" not in found.json


def test_configurations_are_ready_to_copy(manager: TestApp) -> None:
    made = manager.post_json(URL, {"reference": "Gr\u00fc\u00dfe & so"}, status=201).json
    assert list(made["configurations"]) == [client.name for client in CLIENTS]
    name = "Gr%C3%BC%C3%9Fe%20%26%20so"
    assert made["url"] == f"http://localhost/portal_ingestion_policies/{name}/ingest"
    for client, text in made["configurations"].items():
        assert made["token"] in text, client
        assert f"portal_ingestion_policies/{name}" in text or 'policy = "Gr' in text, client
        assert "&amp;" not in text and "&#" not in text
    made_csv = manager.post_json(URL, {"reference": "rows", "rule": "csv"}, status=201).json
    assert "Content-Type: text/csv" in made_csv["configurations"]["curl"]
    fluentd = made["configurations"]["fluentd"]
    assert 'headers_from_placeholders {"Idempotency-Key":"${chunk_id}"}' in fluentd and "503" in fluentd


def test_configuration_of_the_agent_is_toml(manager: TestApp) -> None:
    name = 'a {b} "c" \u00e9'
    made = manager.post_json(URL, {"reference": name, "rule": "ndjson"}, status=201).json
    told = tomllib.loads(made["configurations"]["agent"])
    assert told["portal"] == {"url": "http://localhost", "policy": name, "token": made["token"]}
    source = told["sources"]["log"]
    assert source["tag"].format() == name and source["content_type"] == "application/x-ndjson"


def test_reference_that_is_there_is_a_conflict_that_names_it(manager: TestApp, site: Site) -> None:
    manager.post_json(URL, {"reference": "twice"}, status=201)
    with site.open() as portal:
        before = portal.catalog().count()
    problem = manager.post_json(URL, {"reference": "twice"}, status=409).json
    assert "'twice'" in problem["detail"]
    with site.open() as portal:
        assert portal.catalog().count() == before


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({}, "reference"),
        ({"reference": ""}, "reference"),
        ({"reference": "a/b"}, "slash"),
        ({"reference": 1}, "reference"),
        ({"reference": "a", "rule": "ndjsn"}, "ndjson"),
        ({"reference": "a", "titel": "x"}, "title"),
        ({"reference": "a", "title": "x" * 300}, "title"),
    ],
    ids=["none", "empty", "slash", "number", "rule", "typo", "long"],
)
def test_what_cannot_be_is_told(manager: TestApp, site: Site, sent: dict[str, Any], named: str) -> None:
    assert named in manager.post_json(URL, sent, status=400).json["detail"]
    with site.open() as portal:
        assert "a" not in portal.root["portal_ingestion_policies"]
        assert not portal.root.named("Data Supply", "a") and not portal.root.named("Data Product", "a")


def test_policies_are_listed(program: Client) -> None:
    found = program("viewer").get(URL).json
    assert found["count"] == len(found["items"])
    rules = {one["id"]: one["rule"] for one in found["items"]}
    assert {"default": "default", "ndjson": "ndjson", "wav": "wav"}.items() <= rules.items()


def test_policy_that_is_not_there(manager: TestApp) -> None:
    assert "'none'" in manager.get(f"{URL}/none", status=404).json["detail"]


def test_name_of_a_file_may_be_any_text(manager: TestApp) -> None:
    name = "W\u00e4rme.wav".encode().decode("latin-1")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    body = b"RIFF\4\0\0\0WAVE"
    sent = manager.post("/portal_ingestion_policies/wav/ingest?reference=x", body, headers, content_type=WAV)
    assert sent.headers["Ingest-Status"] == "stored"
    stream = manager.get(f"/{sent.headers['Ingest-Stream']}", headers={"Accept": "application/json"}).json
    assert stream["reference"] == "W\u00e4rme.wav"


BOMBS = {
    "gzip": (gzip.compress(bytes(50_000_000)), "application/msgpack", "gzip"),
    "nested": (b"[" * 100_000 + b"]" * 100_000, "application/json", ""),
    "maps": (b"\x80" * 2_000_000, "application/msgpack", ""),
    "claim": (b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1000, "application/octet-stream", ""),
    "number": (b"1" * 5_000_000, "application/json", ""),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("rule", ["ndjson", "msgpack", "csv", "bucket"])
def test_bomb_is_acknowledged_and_quarantined(manager: TestApp, name: str, rule: str) -> None:
    body, content_type, encoding = BOMBS[name]
    url = f"/portal_ingestion_policies/{rule}/ingest?reference=bomb"
    headers = {"Content-Encoding": encoding} if encoding else {}
    sent = manager.post(url, body, headers, content_type=content_type, status=200)
    assert sent.headers["Ingest-Status"] == "quarantined"
    assert int(sent.headers["Ingest-Length"]) == len(body)


def test_quarantine_keeps_the_name_of_a_file(manager: TestApp, site: Site) -> None:
    headers = {"Content-Disposition": "attachment; filename=kept.wav"}
    sent = manager.post("/portal_ingestion_policies/wav/ingest?reference=x", b"no wav", headers=headers)
    assert sent.headers["Ingest-Status"] == "quarantined"
    with site.open() as portal:
        kept: Any = portal[sent.headers["Ingest-Stream"]]  # Any: a Quarantine
        assert dict(kept.properties.headers)["Content-Disposition"] == "attachment; filename=kept.wav"


def test_basic_credentials_with_the_token(manager: TestApp, program: Client) -> None:
    made = manager.post_json(URL, {"reference": "basic"}, status=201).json
    value = base64.b64encode(f"anything:{made['token']}".encode()).decode()
    sent = program().post(
        f"{made['url']}?reference=x", b"x", {"Authorization": f"Basic {value}"}, content_type=WAV
    )
    assert sent.headers["Ingest-Status"] == "stored"
