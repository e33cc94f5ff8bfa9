"""Errors: problem+json for programs, a page for people, both with the id of the request."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError
from webtest import TestApp
from ZODB.POSException import ConflictError

from haywain.catalog import Catalog
from haywain.errors import TemporaryError
from haywain.portal import Portal, Site

Client = Callable[..., TestApp]


@pytest.mark.parametrize("login", ["", "viewer"])
@pytest.mark.parametrize("path", ["/nowhere", "/person_module", "/api/v1/search?limit=0", "/%ff"])
def test_program_gets_a_problem(program: Client, login: str, path: str) -> None:
    client = program(login)
    response = client.get(
        path.replace("%ff", "?a=%ff"), headers={"Accept": "application/json"}, expect_errors=True
    )
    assert response.status_int in (400, 401, 403, 404) and response.content_type == "application/problem+json"
    assert {"type", "title", "status", "detail", "request_id"} <= set(response.json)
    assert response.json["status"] == response.status_int


def test_person_gets_a_page_with_the_id(program: Client) -> None:
    page = program("viewer").get("/nowhere<script>", headers={"Accept": "text/html,*/*"}, status=404)
    assert page.content_type == "text/html" and "<script>" not in page.text.partition("<main")[2]


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConflictError(), 503),
        (TemporaryError("later", 7), 503),
        (OSError(28, "full"), 503),
        (ZeroDivisionError(), 500),
        (UnicodeDecodeError("utf-8", b"", 0, 1, ""), 400),
    ],
    ids=lambda value: type(value).__name__,
)
def test_fault_tells_no_inside_and_leaves_nothing_open(
    site: Site, program: Client, monkeypatch: pytest.MonkeyPatch, accept: str, error: Exception, status: int
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Portal, "catalog", fail)
        response = program("viewer").get("/api/v1/search", headers={"Accept": accept}, expect_errors=True)
    assert response.status_int == status and "Traceback" not in response.text
    assert ("Retry-After" in response.headers) == (status == 503)
    assert len(site.database.pool.all) == len(site.database.pool.available)


def test_address_that_is_no_utf8_is_a_bad_request(application: Any) -> None:
    seen: list[str] = []
    for environ in ({"PATH_INFO": "/\xff", "QUERY_STRING": ""}, {"PATH_INFO": "/", "QUERY_STRING": "a=%ff"}):
        body = b"".join(
            application({"REQUEST_METHOD": "GET", **environ}, lambda status, headers: seen.append(status))
        )
        assert b"no UTF-8" in body
    assert seen == ["400 Bad Request"] * 2


def test_health_is_for_everybody(program: Client) -> None:
    assert program().get("/healthz").body == b"ok\n"
    assert program("nobody").get("/healthz").status_int == 200
    ready = program().get("/readyz").json
    assert ready["ready"] is True and set(ready["checks"]) == {"running", "database", "catalog", "disk"}


def test_stopping_portal_is_not_ready(site: Site, program: Client) -> None:
    site.stopping.set()
    try:
        assert program().get("/readyz", status=503).json["checks"]["running"] is False
    finally:
        site.stopping.clear()


def test_page_of_an_error_does_without_what_is_broken(
    program: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> Any:
        raise SQLAlchemyError("the catalog is gone")

    monkeypatch.setattr(Catalog, "count", fail)
    page = program("viewer").get("/data_stream_module", headers={"Accept": "text/html"}, status=500)
    assert page.content_type == "text/html" and "the id of this request" in page.text
    assert "the catalog is gone" not in page.text
    assert any("without navigation" in record.getMessage() for record in caplog.records)
