"""Login, sessions and CSRF, as a browser and as somebody else's page would use them."""

import re
from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

import pytest
from webtest import TestApp

from haywain.portal import Site
from haywain.security.accounts import Logins
from haywain.web.identity import COOKIE
from haywain.web.login import _local

PASSWORD = "everybody's password"
Client = Callable[..., TestApp]


def cookies_of(response: Any) -> SimpleCookie:
    found = SimpleCookie()
    for header in response.headers.getall("Set-Cookie"):
        found.load(header)
    return found


def log_in(client: TestApp, **fields: str) -> Any:
    form = client.get("/login").form
    for name, value in ({"login": "editor", "password": PASSWORD} | fields).items():
        form[name] = value
    return form.submit(expect_errors=True)


def test_login_begins_a_session_and_leads_back(browser: Client) -> None:
    client = browser()
    asked = client.get("/data_stream_module?text=a", status=303)
    response = client.get(asked.location.removeprefix("http://localhost"))
    form = response.form
    form["login"], form["password"] = "editor", PASSWORD
    done = form.submit(status=303)
    assert done.location.endswith("/data_stream_module?text=a")
    client.get("/data_stream_module", status=200)


def test_cookie_is_kept_from_scripts_and_other_sites(browser: Client) -> None:
    client = browser()
    plain = cookies_of(log_in(client))[COOKIE]
    assert plain["httponly"] and plain["samesite"] == "Lax" and plain["path"] == "/" and not plain["secure"]
    client = browser()
    client.extra_environ["wsgi.url_scheme"] = "https"
    assert cookies_of(log_in(client))[COOKIE]["secure"]


def test_secret_of_the_session_is_not_stored(site: Site, browser: Client) -> None:
    client = browser("editor")
    secret = client.cookies[COOKIE]
    with site.open() as portal:
        assert Logins(portal.root).find(secret).login == "editor"
        assert secret not in list(portal.root.tools["sessions"])


def test_session_is_new_with_each_login_and_the_old_one_ends(browser: Client) -> None:
    client = browser()
    client.set_cookie(COOKIE, "chosen-by-somebody-else")
    log_in(client)
    first = client.cookies[COOKIE]
    assert first != "chosen-by-somebody-else"
    log_in(client, login="viewer")
    assert client.cookies[COOKIE] != first
    client.reset()
    client.set_cookie(COOKIE, first)
    client.get("/", status=303)


def test_logout_ends_the_session_on_the_server(browser: Client) -> None:
    client = browser("editor")
    secret = client.cookies[COOKIE]
    client.post("/logout", {"csrf_token": client.csrf}, status=303)
    client.reset()
    client.set_cookie(COOKIE, secret)
    client.get("/", status=303)


def test_expired_session_asks_to_log_in(browser: Client, set_clock: Any) -> None:
    client = browser("editor")
    client.get("/", status=200)
    set_clock.forward(days=8)
    assert "/login" in client.get("/", status=303).location


def test_changed_password_and_lock_end_sessions(site: Site, browser: Client) -> None:
    client = browser("analyst")
    site.transact(lambda p: p["person_module/analyst"].set_password(PASSWORD))
    client.get("/", status=303)
    client = browser("analyst")
    site.transact(lambda p: setattr(p["person_module/analyst"], "state", "invalidated"))
    client.get("/", status=303)
    assert log_in(client, login="analyst").status_int == 401
    site.transact(lambda p: setattr(p["person_module/analyst"], "state", "validated"))


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "wrong one"},
        {"login": "nobody"},
        {"login": "", "password": ""},
        {"login": "\0"},
        {"password": "x" * 5_000},
    ],
    ids=range(5),
)
def test_wrong_login_is_told_in_one_way(browser: Client, fields: dict[str, str]) -> None:
    response = log_in(browser(), **fields)
    assert response.status_int == 401 and "The user or the password is wrong" in response.text
    assert COOKIE not in cookies_of(response)


def test_who_guesses_waits_and_others_do_not(browser: Client) -> None:
    client = browser()
    statuses = [log_in(client, login="viewer", password=f"guess {n}").status_int for n in range(12)]
    assert statuses[0] == 401 and statuses[-1] == 429
    assert log_in(browser(), login="editor").status_int == 303


def test_form_that_is_no_utf8_is_a_bad_request(browser: Client) -> None:
    client = browser()
    token = client.get("/login").form["csrf_token"].value
    response = client.post("/login", f"csrf_token={token}&login=%ff&password=%fe", expect_errors=True)
    assert response.status_int in (400, 401)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", "/"),
        ("/a/b?c=%20d&e", "/a/b?c=%20d&e"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/a\\b", "/"),
        ("/ /evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("evil", "/"),
        ("", "/"),
        ("/\u0436", "/"),
        ("/\x00", "/"),
        ("/login?came_from=/login", "/"),
    ],
    ids=range(16),
)
def test_login_leads_to_our_own_pages_only(browser: Client, target: str, expected: str) -> None:
    assert _local(target) == expected
    client = browser()
    form = client.get("/login").form
    form["login"], form["password"] = "editor", PASSWORD
    form["came_from"].force_value(target)
    assert form.submit(status=303).headers["Location"].removeprefix("http://localhost") == expected


# -- CSRF
CHANGE = "/data_product_module"


@pytest.mark.parametrize("token", [None, "", "wrong", "\u0436", "x" * 10_000], ids=range(5))
def test_change_without_the_token_is_refused(site: Site, browser: Client, token: str | None) -> None:
    client = browser("editor")
    headers = {} if token is None else {"X-CSRF-Token": token.encode().decode("latin-1")}
    response = client.post_json(CHANGE, {"reference": "csrf"}, headers=headers, expect_errors=True)
    assert response.status_int == 400
    fields = {"reference": "csrf"} | ({} if token is None else {"csrf_token": token})
    assert client.post(f"{CHANGE}/new", fields, expect_errors=True).status_int == 400
    with site.open() as portal:
        assert portal.catalog(reference="csrf").count() == 0


def test_token_of_another_session_is_refused(browser: Client) -> None:
    client, other = browser("editor"), browser("editor")
    response = client.post_json(CHANGE, {}, headers={"X-CSRF-Token": other.csrf}, expect_errors=True)
    assert response.status_int == 400
    client.post_json(CHANGE, {}, headers={"X-CSRF-Token": client.csrf}, status=201)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://["},
        {"Origin": "localhost:80"},
        {"Origin": "http://localhost:81"},
        {"Origin": "http://localhost:80@evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost:80", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_another_site_is_refused_even_with_the_token_or_kept_credentials(
    browser: Client, program: Client, headers: dict[str, str]
) -> None:
    client = browser("editor")
    with_token = {"X-CSRF-Token": client.csrf} | headers
    assert client.post_json(CHANGE, {}, headers=with_token, expect_errors=True).status_int == 400
    assert program("editor").post_json(CHANGE, {}, headers=headers, expect_errors=True).status_int == 400


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://localhost:80"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
    ids=str,
)
def test_our_own_page_is_let_in(browser: Client, program: Client, headers: dict[str, str]) -> None:
    client = browser("editor")
    client.post_json(CHANGE, {}, headers={"X-CSRF-Token": client.csrf} | headers, status=201)
    program("editor").post_json(CHANGE, {}, headers=headers, status=201)


def test_login_too_needs_the_token(browser: Client) -> None:
    client = browser()
    fields = {"login": "editor", "password": PASSWORD}
    assert client.post("/login", fields, expect_errors=True).status_int == 400
    client.get("/login")
    assert client.post("/login", fields | {"csrf_token": "wrong"}, expect_errors=True).status_int == 400
    assert COOKIE not in client.cookies
    token = client.get("/login").form["csrf_token"].value
    response = client.post(
        "/login", fields | {"csrf_token": token}, headers={"Origin": "null"}, expect_errors=True
    )
    assert response.status_int == 400


def test_logout_needs_the_token_and_post(browser: Client) -> None:
    client = browser("editor")
    assert client.post("/logout", expect_errors=True).status_int == 400
    assert client.get("/logout", expect_errors=True).status_int == 405
    client.get("/", status=200)


def test_token_changes_with_the_login(browser: Client) -> None:
    client = browser()
    before = client.get("/login").form["csrf_token"].value
    log_in(client)
    after = client.get("/login").form["csrf_token"].value
    assert before != after and len(after) >= 40


@pytest.mark.parametrize("value", ["", "\xff", "a" * 4000, "x;y", '"', "\u0436"], ids=range(6))
def test_odd_cookies_are_nobody(application: Any, value: str) -> None:
    client = TestApp(application, lint=False)
    for name in (COOKIE, "haywain_csrf"):
        environ = {"HTTP_COOKIE": f"{name}={value}".encode().decode("latin-1"), "HTTP_ACCEPT": "text/html"}
        assert client.get("/", extra_environ=environ, expect_errors=True).status_int == 303
        assert client.get("/login", extra_environ=environ).status_int == 200
        assert client.post(
            "/login", {"login": "x"}, extra_environ=environ, expect_errors=True
        ).status_int in (400, 401)


def test_pages_are_not_to_be_framed_or_stored(browser: Client) -> None:
    for path, client in (("/login", browser()), ("/", browser("viewer"))):
        headers = client.get(path).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and "no-" in headers["Cache-Control"]


def test_came_from_is_data_in_the_page(browser: Client) -> None:
    page = browser().get("/login", {"came_from": '/"><script>alert(1)</script>'})
    assert not re.search(r"<script>alert", page.text)


@pytest.mark.parametrize(
    ("referer", "target"),
    [
        ("http://localhost/data_stream_module?text=%25", "%2Fdata_stream_module%3Ftext%3D%2525"),
        ("http://elsewhere/x", "%2F"),
        ("", "%2F"),
    ],
)
def test_form_after_the_session_leads_back_to_its_page(browser: Client, referer: str, target: str) -> None:
    response = browser().post("/data_stream_module/x/transition", headers={"Referer": referer}, status=303)
    assert response.headers["Location"].replace("/", "%2F") == f"%2Flogin?came_from={target}"


@pytest.mark.parametrize("name", ["login", "password", "came_from", "csrf_token"])
def test_file_in_place_of_a_text_is_a_bad_request(browser: Client, name: str) -> None:
    client = browser()
    token = client.get("/login").form["csrf_token"].value
    fields = {"login": "editor", "password": PASSWORD, "csrf_token": token}
    fields.pop(name, None)
    response = client.post("/login", fields, upload_files=[(name, "a.txt", b"text")], expect_errors=True)
    assert response.status_int == 400
