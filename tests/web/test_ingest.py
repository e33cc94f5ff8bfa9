"""The ingestion URL without a socket: what agents send and what they are told."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from webtest import TestApp

from haywain.errors import NotFoundError
from haywain.portal import Site
from haywain.web import ingest

Client = Callable[..., TestApp]
URL = "/portal_ingestion_policies/default/ingest"
OCTETS = "application/octet-stream"


@pytest.fixture
def agent(program: Client) -> TestApp:
    return program("agent")


def reference_of(site: Site, response: Any) -> str:
    with site.open() as portal:
        return str(portal[response.headers["Ingest-Stream"]].reference)


def test_answer_is_a_receipt_without_a_body(agent: TestApp) -> None:
    response = agent.post(f"{URL}?reference=a.b", b"abc", content_type=OCTETS, status=200)
    assert response.body == b"" and response.headers["Content-Length"] == "0"
    assert [response.headers[f"Ingest-{name}"] for name in ("Status", "Offset", "Length")] == [
        "stored",
        "0",
        "3",
    ]
    assert len(response.headers["Ingest-Tid"]) == 16 and response.headers["Ingest-Stream"]


@pytest.mark.parametrize(
    ("query", "reference"),
    [
        ("reference=a%2Eb", "a.b"),
        ("reference=a+b%20c", "a b c"),
        ("reference=%D0%B6", "\u0436"),
        ("x=y&reference=one&reference=two", "one"),
        ("reference=e%CC%81", "\u00e9"),
        ("reference=%2Bplus", "+plus"),
        ("reference=100%", "100%"),
    ],
)
def test_tag_is_what_was_meant(site: Site, agent: TestApp, query: str, reference: str) -> None:
    assert reference_of(site, agent.post(f"{URL}?{query}", b"x", content_type=OCTETS)) == reference


def test_tag_sent_as_it_is_in_utf8(site: Site, agent: TestApp) -> None:
    agent.lint = False
    raw = {"QUERY_STRING": "reference=\u0436".encode().decode("latin-1")}
    assert reference_of(site, agent.post(URL, b"x", content_type=OCTETS, extra_environ=raw)) == "\u0436"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "reference=",
        "reference=%2e%2e%2fx",
        "reference=%00",
        "reference=%FF",
        "reference=__class__",
        "reference=" + "x" * 60_000,
    ],
    ids=range(7),
)
def test_bad_tag_is_quarantined_and_acknowledged(agent: TestApp, query: str) -> None:
    response = agent.post(f"{URL}?{query}", b"x", content_type=OCTETS, status=200)
    assert response.headers["Ingest-Status"] == "quarantined"


def test_bodies_of_all_kinds(site: Site, agent: TestApp) -> None:
    sent = [
        agent.post(f"{URL}?reference=kinds", b"1", content_type=OCTETS),
        agent.post(
            f"{URL}?reference=kinds", "data_chunk=%00%32", content_type="application/x-www-form-urlencoded"
        ),
        agent.post(f"{URL}?reference=kinds&data_chunk=%33+", b"", content_type=OCTETS),
        agent.post(
            f"{URL}?reference=kinds",
            gzip.compress(b"4"),
            headers={"Content-Encoding": "gzip"},
            content_type=OCTETS,
        ),
    ]
    with site.open() as portal:
        assert portal[sent[0].headers["Ingest-Stream"]].read() == b"1\x0023 4"


def test_key_makes_a_duplicate_with_the_first_receipt(agent: TestApp) -> None:
    first, again = (
        agent.post(f"{URL}?reference=key", b"x", headers={"Idempotency-Key": "\xe9 k"}, content_type=OCTETS)
        for _ in range(2)
    )
    assert again.headers["Ingest-Status"] == "duplicate"
    assert first.headers["Ingest-Tid"] == again.headers["Ingest-Tid"]


@pytest.mark.parametrize(
    ("login", "method", "url", "status"),
    [
        ("", "POST", URL, 401),
        ("", "GET", URL, 401),
        ("agent", "GET", URL, 405),
        ("agent", "PUT", URL, 405),
        ("agent", "POST", "/portal_ingestion_policies/none/ingest", 404),
        ("agent", "POST", "/portal_ingestion_policies/%D0%B6/ingest", 404),
        ("agent", "POST", "/portal_ingestion_policies/%FF/ingest", 404),
        ("viewer", "POST", URL, 403),
        ("analyst", "POST", URL, 403),
    ],
)
def test_refusals(program: Client, login: str, method: str, url: str, status: int) -> None:
    client = program(login)
    client.lint = False
    response = client.request(f"{url}?reference=x", method=method, body=b"x", expect_errors=True)
    assert response.status_int == status and response.content_type == "application/problem+json"
    assert response.json["status"] == status and response.json["request_id"]
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    assert (response.headers.get("Allow") == "POST") == (status == 405)


def test_token_opens_its_policy_only(site: Site, program: Client) -> None:
    def make(portal: Any) -> str:
        if "second" not in portal.root["portal_ingestion_policies"]:
            portal.new("Ingestion Policy", reference="second", rule="default")
        return portal.new("Token", login="agent", scopes=("ingest:second",)).shown_once()["secret"]

    secret, _ = site.transact(make)
    headers = {"Authorization": f"Bearer {secret}"}
    client = program()
    client.post(f"{URL}?reference=x", b"x", headers=headers, content_type=OCTETS, status=403)
    client.post(
        f"{URL.replace('default', 'second')}?reference=x",
        b"x",
        headers=headers,
        content_type=OCTETS,
        status=200,
    )
    assert (
        client.get(
            "/api/v1/search", headers=headers | {"Accept": "application/json"}, expect_errors=True
        ).status_int
        == 403
    )


@pytest.mark.parametrize(
    "error",
    [RuntimeError("a fault"), OSError(28, "full"), KeyError("x"), MemoryError()],
    ids=lambda e: type(e).__name__,
)
def test_fault_of_ours_is_to_be_tried_again(
    agent: TestApp, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ingest, "deliver", fail)
    response = agent.post(f"{URL}?reference=x", b"x", content_type=OCTETS, status=503)
    assert int(response.headers["Retry-After"]) > 0 and "a fault" not in response.text


def test_known_error_keeps_its_status(agent: TestApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "deliver", lambda *_: (_ for _ in ()).throw(NotFoundError("no")))
    agent.post(f"{URL}?reference=x", b"x", content_type=OCTETS, status=404)


def test_throttled_agent_is_told_to_come_again(program: Client, set_clock: Any) -> None:
    client = program("agent", "a wrong password")
    statuses = [
        client.post(f"{URL}?reference=x", b"x", content_type=OCTETS, expect_errors=True).status_int
        for _ in range(15)
    ]
    assert statuses[0] == 401 and statuses[-1] == 503


@pytest.mark.parametrize("site_of", ["cross-site", "same-site"])
def test_browser_that_keeps_credentials_does_not_lend_them(agent: TestApp, site_of: str) -> None:
    agent.post(
        f"{URL}?reference=x", b"x", headers={"Sec-Fetch-Site": site_of}, content_type=OCTETS, status=403
    )


def test_cookie_is_no_credential_here(browser: Client) -> None:
    browser("editor").post(f"{URL}?reference=x", b"x", content_type=OCTETS, status=401)


def test_nothing_stays_open(site: Site, agent: TestApp) -> None:
    agent.post(f"{URL}?reference=x", b"x", content_type=OCTETS)
    assert len(site.database.pool.all) == len(site.database.pool.available)
