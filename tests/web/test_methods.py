"""A wrong method is told which ones are right, as the views that are registered say."""

from collections.abc import Callable

import pytest
from webtest import TestApp

from haywain.portal import Site

Client = Callable[..., TestApp]
DATA = "GET, HEAD, PUT, POST, PATCH"


@pytest.fixture(scope="module")
def stream(site: Site, application: object) -> str:
    return site.transact(lambda portal: portal.new("Data Stream", reference="a").path)[0]


@pytest.fixture(scope="module")
def kept(site: Site, application: object) -> str:
    return site.transact(lambda p: p.new("Quarantine", body=b"raw", policy="p", reason="r").path)[0]


def ask(client: TestApp, method: str, path: str, accept: str = "application/json") -> tuple[int, str | None]:
    response = client.request(path, method=method, headers={"Accept": accept}, expect_errors=True)
    return response.status_int, response.headers.get("Allow")


@pytest.mark.parametrize("accept", ["application/json", "text/html", "*/*"])
@pytest.mark.parametrize(
    ("method", "tail", "allow"),
    [
        ("DELETE", "", "GET, HEAD, PATCH"),
        ("POST", "", "GET, HEAD, PATCH"),
        ("OPTIONS", "", "GET, HEAD, PATCH"),
        ("DELETE", "/data", DATA),
        ("OPTIONS", "/data", DATA),
        ("GET", "/uploads", "HEAD, POST, PATCH, DELETE, OPTIONS"),
        ("GET", "/transition", "POST"),
        ("PUT", "/edit", "GET, HEAD, POST"),
    ],
)
def test_wrong_method_on_a_document(
    program: Client, stream: str, method: str, tail: str, allow: str, accept: str
) -> None:
    assert ask(program("editor"), method, f"/{stream}{tail}", accept) == (405, allow)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/data_stream_module", "GET, HEAD, POST"),
        ("DELETE", "/data_stream_module", "GET, HEAD, POST"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/api/v1/search", "GET, HEAD"),
        ("POST", "/search", "GET, HEAD"),
        ("PUT", "/login", "GET, HEAD, POST"),
        ("GET", "/logout", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/activities", "GET, HEAD"),
        ("PUT", "/activities/0123456789abcdef", "GET, HEAD"),
        ("GET", "/activities/0123456789abcdef/retry", "POST"),
        ("PUT", "/static/css/haywain.css", "GET, HEAD"),
    ],
)
def test_wrong_method_on_what_is_no_document(program: Client, method: str, path: str, allow: str) -> None:
    assert ask(program("editor"), method, path) == (405, allow)


def test_what_other_kinds_know_is_not_named(program: Client, stream: str, kept: str) -> None:
    client = program("manager")
    assert ask(client, "PUT", f"/{kept}/data") == (405, "GET, HEAD")
    assert ask(client, "GET", f"/{kept}/replay") == (405, "POST")
    assert ask(client, "GET", f"/{stream}/replay") == (404, None)
    assert ask(client, "POST", f"/{kept}/uploads") == (404, None)
    assert ask(client, "DELETE", f"/{stream}/nothing") == (404, None)


def test_page_and_problem_say_what_can_be_done(program: Client, stream: str) -> None:
    client = program("editor")
    problem = client.delete(f"/{stream}", status=405).json
    assert problem["title"] == "Method not allowed" and "use GET, HEAD, PATCH" in problem["detail"]
    page = client.delete(f"/{stream}", headers={"Accept": "text/html"}, status=405)
    assert page.content_type == "text/html" and "use GET, HEAD, PATCH" in page.text


def test_type_that_there_is_not_is_406(program: Client, stream: str) -> None:
    assert ask(program("viewer"), "GET", f"/{stream}", "image/png") == (406, None)
    assert ask(program("viewer"), "GET", f"/{stream}", "image/png, */*;q=0.1")[0] == 200


def test_who_may_not_view_is_not_told(program: Client, stream: str) -> None:
    assert ask(program(), "DELETE", f"/{stream}") == (401, None)
    assert ask(program("agent"), "DELETE", f"/{stream}") == (403, None)
    assert ask(program("viewer"), "DELETE", "/person_module") == (403, None)
