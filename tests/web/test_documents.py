"""Documents as JSON: made, read, changed; and what nobody may set that way."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from webtest import TestApp

from haywain.portal import Site

Client = Callable[..., TestApp]
MODULE = "/data_stream_module"


@pytest.fixture
def editor(program: Client) -> TestApp:
    return program("editor")


@pytest.fixture
def stream(editor: TestApp) -> str:
    return "/" + editor.post_json(MODULE, {"reference": "a"}, status=201).json["path"]


def test_document_is_made_with_its_address(editor: TestApp) -> None:
    body = {"portal_type": "Data Stream", "reference": "r", "title": "t", "content_type": "audio/x-wav"}
    response = editor.post_json(MODULE, body, status=201)
    assert response.headers["Location"].removeprefix("http://localhost") == "/" + response.json["path"]
    found = editor.get("/" + response.json["path"], headers={"Accept": "application/json"}).json
    assert body.items() <= found.items() and found["owner"] == "editor" and found["state"] == "draft"


def test_id_of_any_script_is_an_address(editor: TestApp) -> None:
    response = editor.post_json(MODULE, {"id": "\u0436 %/".replace("/", "")}, status=201)
    location = response.headers["Location"].removeprefix("http://localhost")
    assert location == "/data_stream_module/%D0%B6%20%25"
    editor.get(location, headers={"Accept": "application/json"}, status=200)
    receipt = editor.post(f"{location}/data", b"abc", content_type="application/octet-stream", status=200)
    assert receipt.headers["Ingest-Stream"] == location[1:]
    made = editor.post(
        f"{location}/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1"}, status=201
    )
    assert made.headers["Location"].removeprefix("http://localhost").startswith(location)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b'"x"',
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"title": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"title": "\xff"}',
        b'{"title": 1}',
        b'{"title": null}',
        b'{"title": ["a"]}',
        b'{"title": ' + b"1" * 10_000 + b"}",
        b'{"title": NaN}',
        b'{"title": 1e999}',
        b'{"reference": "' + b"a" * 9_000 + b'"}',
        b'{"title": "a\\u0000b"}',
        b'{"no_such": 1}',
        b'{"owner": "manager"}',
        b'{"state": "validated"}',
        b'{"_stream": {}}',
        b'{"_values": {}}',
        b'{"__class__": "x"}',
        b'{"__parent__": null}',
        b'{"self": 1}',
        b'{"size": 5}',
        b'{"path": "x"}',
        b'{"claims": []}',
        b'{"content_type": "text/html\\r\\nX: y"}',
        b'{"content_type": "\\u0436/x"}',
        b'{"password": "x"}',
    ],
    ids=range(32),
)
def test_bad_body_is_a_bad_request_and_changes_nothing(
    site: Site, editor: TestApp, stream: str, body: bytes
) -> None:
    before = editor.get(stream, headers={"Accept": "application/json"}).json
    for method, path in (("POST", MODULE), ("PATCH", stream)):
        if (method, body) == ("PATCH", b""):
            continue
        response = editor.request(
            path, method=method, body=body, content_type="application/json", expect_errors=True
        )
        assert response.status_int == 400, (method, body[:60])
        assert response.content_type == "application/problem+json" and response.json["request_id"]
    assert editor.get(stream, headers={"Accept": "application/json"}).json == before


@pytest.mark.parametrize(
    "body",
    [
        {"id": 5},
        {"id": ["x"]},
        {"id": "a/b"},
        {"id": "_x"},
        {"id": "data"},
        {"id": "x" * 300},
        {"portal_type": "Person"},
        {"portal_type": 5},
        {"portal_type": ["Data Stream"]},
        {"portal_type": {}},
        {"portal_type": "x" * 5000},
        {"portal_type": None},
    ],
    ids=lambda body: str(body)[:40],
)
def test_bad_kind_or_id_is_a_bad_request(editor: TestApp, body: dict[str, Any]) -> None:
    assert editor.post_json(MODULE, body, expect_errors=True).status_int == 400


def test_taken_id_is_a_conflict(editor: TestApp) -> None:
    editor.post_json(MODULE, {"id": "once"}, status=201)
    editor.post_json(MODULE, {"id": "once"}, status=409)


def test_quarantine_is_made_by_nobody_and_keeps_what_was_sent(
    site: Site, editor: TestApp, program: Client
) -> None:
    manager = program("manager")
    for client in (editor, manager):
        client.post_json("/quarantine_module", {"policy": "default", "reason": "x"}, status=400)

    def make(portal: Any) -> str:
        return portal.new("Quarantine", policy="default", reason="r", tag="t", key="k", scope="s").path

    path, _ = site.transact(make)
    for change in (
        {"policy": "x"},
        {"tag": "x"},
        {"key": "x"},
        {"scope": "x"},
        {"reason": "x"},
        {"headers": [["a", "b"]]},
        {"body": "x"},
        {"raw_tag": "x"},
    ):
        manager.patch_json(f"/{path}", change, status=400)
    manager.patch_json(f"/{path}", {"transition": "replayed"}, status=400)
    manager.patch_json(f"/{path}", {"title": "seen", "policy": "default"}, status=200)


def test_change_and_transition_in_one(editor: TestApp, stream: str) -> None:
    found = editor.patch_json(
        stream, {"title": "new", "transition": "validate", "comment": "ok"}, status=200
    ).json
    assert (found["title"], found["state"], found["reference"]) == ("new", "validated", "a")
    editor.patch_json(stream, {"title": "half", "transition": "validate"}, status=400)
    found = editor.get(stream, headers={"Accept": "application/json"}).json
    assert found["title"] == "new"


@pytest.mark.parametrize("transition", ["nope", "", 5, [], {"a": 1}, "x" * 9000], ids=range(6))
def test_unknown_transition_is_a_bad_request(editor: TestApp, stream: str, transition: object) -> None:
    editor.patch_json(stream, {"transition": transition}, status=400)


@pytest.mark.parametrize("comment", [None, 5, ["x"], "\x00\x1b", "x" * 9_000], ids=range(5))
def test_any_comment_is_text_and_the_page_shows_it(editor: TestApp, stream: str, comment: object) -> None:
    editor.patch_json(stream, {"transition": "validate", "comment": comment}, status=200)
    editor.get(stream, headers={"Accept": "text/html"}, status=200)


@pytest.mark.parametrize(
    "password", [12345678, ["x"] * 8, None, {"a": 1}, "short", "hw_as tokens do"], ids=range(6)
)
def test_bad_password_is_a_bad_request(program: Client, password: object) -> None:
    body = {"reference": "dora", "password": password}
    response = program("manager").post_json("/person_module", body, expect_errors=True)
    assert response.status_int == 400 or password is None


def test_hash_cannot_be_given_and_is_not_shown(program: Client) -> None:
    manager = program("manager")
    manager.post_json("/person_module", {"reference": "gus", "password_hash": "x"}, status=400)
    made = manager.post_json("/person_module", {"reference": "gus", "password": "gus's password"}, status=201)
    manager.patch_json("/person_module/gus", {"password_hash": "x"}, status=400)
    assert "hash" not in made.text and "password" not in made.text


def test_secret_of_a_token_is_shown_once(program: Client) -> None:
    manager = program("manager")
    made = manager.post_json("/token_module", {"login": "viewer", "scopes": ["read"]}, status=201).json
    assert made["secret"].startswith("hw_")
    again = manager.get("/" + made["path"], headers={"Accept": "application/json"})
    assert "secret" not in again.json and made["secret"] not in again.text


@pytest.mark.parametrize(
    "expires", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", 1e300, "soon"], ids=str
)
def test_impossible_moment_is_a_bad_request(program: Client, expires: object) -> None:
    body = {"login": "viewer", "scopes": ["read"], "expires": expires}
    program("manager").post_json("/token_module", body, status=400)


def test_moments_with_and_without_zone_can_be_compared(editor: TestApp) -> None:
    body = {"effective": "2026-01-01T00:00:00", "expiration": "2025-01-01T00:00:00Z"}
    editor.post_json("/data_supply_module", body, status=400)
    made = editor.post_json("/data_supply_module", {"effective": "0001-01-01T00:00:00Z"}, status=201).json
    editor.get("/" + made["path"], headers={"Accept": "text/html"}, status=200)


def test_listing_of_a_module_is_a_search_in_it(editor: TestApp, stream: str) -> None:
    found = editor.get(f"{MODULE}?module=person_module&limit=1", headers={"Accept": "application/json"}).json
    assert {item["portal_type"] for item in found["items"]} == {"Data Stream"} and found["count"] >= 1
    root = editor.get("/", headers={"Accept": "application/json"}).json
    assert "data_stream_module" in root["modules"]


def test_json_is_json(editor: TestApp, stream: str) -> None:
    response = editor.get(stream, headers={"Accept": "application/json"})
    assert response.content_type == "application/json" and json.loads(response.body)["path"] == stream[1:]


def test_neighbours_are_set_by_their_paths(editor: TestApp, stream: str) -> None:
    made = editor.post_json(MODULE, {"reference": "b", "predecessor": stream}, status=201).json
    assert made["predecessor"] == stream[1:] and made["categories"] == [["predecessor", stream[1:]]]
    found = editor.get(stream, headers={"Accept": "application/json"}).json
    assert found["successor"] == made["path"] and found["categories"] == [["successor", made["path"]]]
    refused = editor.patch_json(stream, {"predecessor": made["path"]}, status=400)
    assert "comes behind" in refused.json["detail"]
    assert editor.patch_json(stream, {"successor": ""}).json["categories"] == []
    assert editor.get(f"/{made['path']}", headers={"Accept": "application/json"}).json["predecessor"] == ""
