"""Credentials of programs: Basic with a password or a token, Bearer; and nothing else."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from webtest import TestApp

from haywain.portal import Site
from haywain.security import passwords

PASSWORD = "everybody's password"
Client = Callable[..., TestApp]


def basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


@pytest.fixture
def secret(site: Site, application: object) -> str:
    def make(portal: Any) -> str:
        return portal.new("Token", login="editor", scopes=("write",)).shown_once()["secret"]

    return site.transact(make)[0]


def status(client: TestApp, authorization: str, accept: str = "application/json", path: str = "/") -> int:
    headers = {"Authorization": authorization, "Accept": accept}
    return client.get(path, headers=headers, expect_errors=True).status_int


def test_passwords_and_tokens_let_in(program: Client, secret: str) -> None:
    client = program()
    for header in (
        basic("editor", PASSWORD),
        basic("any", secret),
        basic("", secret),
        basic("editor", secret),
        f"Bearer {secret}",
        f"bearer  {secret} ",
        basic("editor", PASSWORD).replace("Basic", "BASIC"),
    ):
        assert status(client, header) == 200, header


@pytest.mark.parametrize(
    "header",
    [
        basic("editor", "wrong password"),
        basic("nobody", PASSWORD),
        basic("editor", ""),
        basic("", ""),
        basic("any", "hw_wrong"),
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic \xe9",
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Bearer",
        "Bearer x",
        "Bearer \xff",
        "Digest username=x",
        "x",
    ],
    ids=range(16),
)
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_wrong_credentials_are_401_or_lead_to_the_login(program: Client, header: str, accept: str) -> None:
    client = program()
    expected = 303 if accept == "text/html" else 401
    for path in ("/", "/nowhere", "/api/v1/search", "/data_stream_module/x/data"):
        assert status(client, header, accept, path) == expected


def test_401_says_how_to_log_in(program: Client) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}):
        response = program().get("/", headers={"Accept": "application/json"} | headers, status=401)
        assert response.headers["WWW-Authenticate"].startswith("Basic ")


def test_wrong_token_costs_no_argon2_and_is_never_throttled(
    program: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords._hasher.__class__, "verify", lambda *_: pytest.fail("argon2 ran"))
    assert {status(program(), basic("editor", "hw_old token")) for _ in range(30)} == {401}


def test_guesses_are_throttled_but_not_who_was_let_in(program: Client, set_clock: Any) -> None:
    client = program()
    assert status(client, basic("editor", PASSWORD)) == 200
    statuses = [status(client, basic("editor", f"guess {n}")) for n in range(15)]
    assert statuses[0] == 401 and statuses[-1] == 429
    response = client.get("/", headers={"Authorization": basic("editor", "guess")}, status=429)
    assert int(response.headers["Retry-After"]) > 0
    assert status(client, basic("editor", "guess"), "text/html") == 429
    assert status(client, basic("editor", PASSWORD)) == 200


def test_unknown_logins_are_throttled_like_known_ones(program: Client, set_clock: Any) -> None:
    statuses = [status(program(), basic("nobody", "x" * 50)) for _ in range(15)]
    assert statuses[-1] == 429


@pytest.mark.parametrize("login", ["viewer", "editor"])
def test_only_a_manager_makes_people_and_tokens(program: Client, login: str) -> None:
    client = program(login)
    token = {"login": "manager", "scopes": ["admin"]}
    person = {"reference": "eve", "roles": ["Manager"], "password": "eve's password"}
    assert client.post_json("/token_module", token, expect_errors=True).status_int == 403
    assert client.post_json("/person_module", person, expect_errors=True).status_int == 403
    for module in ("data_stream_module", "data_product_module"):
        for body in (token | {"portal_type": "Token"}, person | {"portal_type": "Person"}):
            assert client.post_json(f"/{module}", body, expect_errors=True).status_int in (400, 403)
    for path, change in (
        (f"/person_module/{login}", {"roles": ["Manager"]}),
        ("/person_module/manager", {"password": "a new password"}),
        ("/portal_ingestion_policies/default", {"rule": "other"}),
        ("/portal_ingestion_policies/default", {"transition": "invalidate"}),
    ):
        assert client.patch_json(path, change, expect_errors=True).status_int == 403


def test_token_of_a_manager_needs_the_scope_for_what_managers_do(site: Site, program: Client) -> None:
    def make(portal: Any) -> str:
        return portal.new("Token", login="manager", scopes=("write", "ingest:*")).shown_once()["secret"]

    secret, _ = site.transact(make)
    headers = {"Authorization": f"Bearer {secret}", "Accept": "application/json"}
    client = program()
    assert client.get("/person_module", headers=headers, expect_errors=True).status_int == 403
    body = {"login": "manager", "scopes": ["admin"]}
    assert client.post_json("/token_module", body, headers=headers, expect_errors=True).status_int == 403
    client.post_json("/data_product_module", {}, headers=headers, status=201)
