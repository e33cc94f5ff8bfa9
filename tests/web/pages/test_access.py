"""Who may see what, and who may change it: every page as Manager, as Viewer, as nobody."""

from typing import Any

import pytest
from tests.web.pages.conftest import PASSWORD, Browser, browser

from haywain.portal import Site

PAGES = {
    "home": "/",
    "search": "/search?text=turbine",
    "streams": "/data_stream_module",
    "stream": "/{turbine-1.wav}",
    "new-stream": "/data_stream_module/new",
    "edit-stream": "/{turbine-1.wav}/edit",
    "products": "/data_product_module",
    "product": "/{wav}",
    "supplies": "/data_supply_module",
    "supply": "/{weather}",
    "policies": "/portal_ingestion_policies",
    "policy": "/portal_ingestion_policies/default",
    "quarantine": "/quarantine_module",
    "quarantined": "/{../etc/passwd}",
}
ADMIN_PAGES = {
    "edit-policy": "/portal_ingestion_policies/default/edit",
    "people": "/person_module",
    "person": "/person_module/vera",
    "new-person": "/person_module/new",
    "edit-person": "/person_module/vera/edit",
    "tokens": "/token_module",
    "new-token": "/token_module/new",
}
FORMS = ("new-stream", "edit-stream")


def at(pages: dict[str, str], name: str, paths: dict[str, str]) -> str:
    where = pages[name]
    for reference, path in paths.items():
        where = where.replace("{" + reference + "}", path)
    return where


@pytest.mark.parametrize("name", [*PAGES, *ADMIN_PAGES])
def test_manager_sees_every_page(manager: Browser, paths: dict[str, str], name: str) -> None:
    page = manager.get(at(PAGES | ADMIN_PAGES, name, paths))
    assert page.status_int == 200 and page.content_type == "text/html"
    assert page.html.html["lang"] == "en" and page.html.find("main") and len(page.html.find_all("h1")) == 1


@pytest.mark.parametrize("name", [*PAGES, *ADMIN_PAGES])
def test_viewer_sees_what_is_not_for_managers_and_no_form(
    viewer: Browser, paths: dict[str, str], name: str
) -> None:
    refused = name in ADMIN_PAGES or name in FORMS
    page = viewer.get(at(PAGES | ADMIN_PAGES, name, paths), status=403 if refused else 200)
    assert page.content_type == "text/html"
    if not refused:
        posts = [form.action for form in page.forms.values() if form.method.lower() == "post"]
        assert posts == ["/logout"]
        assert not page.html.find_all("a", href=lambda href: href and href.endswith(("/new", "/edit")))
        assert not page.html.find_all("a", href=lambda href: href in ("/person_module", "/token_module"))


@pytest.mark.parametrize("name", [*PAGES, *ADMIN_PAGES])
def test_stranger_is_led_to_the_login_and_a_program_refused(
    stranger: Browser, paths: dict[str, str], name: str
) -> None:
    where = at(PAGES | ADMIN_PAGES, name, paths)
    assert stranger.get(where, status=303).location.startswith("/login?came_from=/")
    refused = stranger.get(where, headers={"Accept": "application/json"}, status=401)
    assert refused.content_type == "application/problem+json" and "WWW-Authenticate" in refused.headers


def test_script_of_a_page_is_refused_without_a_browser_asking(
    stranger: Browser, paths: dict[str, str]
) -> None:
    headers = {"Accept": "application/json", "X-Requested-With": "fetch"}
    refused = stranger.get(f"/{paths['turbine-1.wav']}", headers=headers, status=401)
    assert refused.headers["WWW-Authenticate"].startswith("Session ")
    wrong = headers | {"Authorization": "Bearer nonsense"}
    refused = stranger.get(f"/{paths['turbine-1.wav']}", headers=wrong, status=401)
    assert refused.headers["WWW-Authenticate"].startswith("Session ")


def changes(paths: dict[str, str]) -> dict[str, dict[str, Any]]:
    stream, kept = paths["turbine-1.wav"], paths["../etc/passwd"]
    file = {"upload_files": [("file", "a.bin", b"x")]}
    return {
        f"/{stream}/edit": {"params": {"title": "changed"}},
        f"/{stream}/transition": {"params": {"transition": "invalidate"}},
        f"/{stream}/upload": {"params": {"mode": "replace"}} | file,
        f"/{kept}/replay": {"params": {}},
        f"/{kept}/transition": {"params": {"transition": "discard"}},
        "/data_stream_module/new": {"params": {"reference": "new"}},
        "/person_module/new": {"params": {"reference": "new", "password": PASSWORD, "roles": "Manager"}},
        "/person_module/vera/edit": {"params": {"roles": "Manager"}},
        "/person_module/vera/transition": {"params": {"transition": "invalidate"}},
        "/token_module/new": {"params": {"login": "admin", "scopes": "admin"}},
    }


def test_viewer_changes_nothing(site: Site, viewer: Browser, paths: dict[str, str]) -> None:
    token = viewer.get("/").html.find("meta", {"name": "csrf-token"})["content"]
    with site.open() as portal:
        before = [document.as_dict() for document in portal.catalog(sort_on="path")]
    for where, sent in changes(paths).items():
        params = {**sent["params"], "csrf_token": token}
        viewer.post(where, params, upload_files=sent.get("upload_files"), status=403)
    with site.open() as portal:
        assert [document.as_dict() for document in portal.catalog(sort_on="path")] == before


def test_nothing_changes_without_the_token_of_the_form(manager: Browser, paths: dict[str, str]) -> None:
    for where, sent in changes(paths).items():
        refused = manager.post(where, sent["params"], upload_files=sent.get("upload_files"), status=400)
        assert "load the page again" in refused.text


def test_foreign_site_changes_nothing_even_with_the_token(manager: Browser, paths: dict[str, str]) -> None:
    token = manager.get("/").html.find("meta", {"name": "csrf-token"})["content"]
    where = f"/{paths['turbine-1.wav']}/transition"
    headers = {"Origin": "https://elsewhere.example"}
    manager.post(where, {"transition": "invalidate", "csrf_token": token}, headers=headers, status=400)


def test_agent_who_may_only_send_sees_a_page_that_says_so(site: Site) -> None:
    page = browser(site, "agnes").get("/", status=403)
    assert "ask a Manager" in page.text


def test_wrong_password_keeps_the_login_and_says_why(stranger: Browser) -> None:
    page = stranger.log_in("admin", "wrong")
    assert page.status_int == 401
    assert page.form["login"].value == "admin" and page.form["password"].value == ""
    assert page.html.find(role="alert").text == "The user or the password is wrong"


def test_login_leads_to_where_one_wanted_to_go_but_never_elsewhere(site: Site) -> None:
    wanted = browser(site).get("/data_stream_module?sort=size", status=303).follow()
    wanted.form["login"], wanted.form["password"] = "admin", PASSWORD
    assert wanted.form.submit().location == "/data_stream_module?sort=size"
    other = browser(site).get("/login?came_from=//evil.example/")
    other.form["login"], other.form["password"] = "admin", PASSWORD
    assert other.form.submit().location == "/"


def test_logout_ends_the_session_on_the_server(site: Site) -> None:
    leaving = browser(site, "vera")
    cookie = leaving.cookies["haywain_login"]
    assert leaving.get("/").forms[0].submit().location == "/login"
    leaving.set_cookie("haywain_login", cookie)
    leaving.get("/", status=303)


def test_program_still_gets_json_at_the_same_address(manager: Browser, paths: dict[str, str]) -> None:
    for where in ("/", "/data_stream_module", f"/{paths['turbine-1.wav']}", f"/{paths['../etc/passwd']}"):
        assert manager.get(where, headers={"Accept": "application/json"}).content_type == "application/json"


def test_problem_page_says_what_and_names_the_request(manager: Browser) -> None:
    page = manager.get("/nowhere", status=404)
    assert page.html.find("h1").text == "Not found" and "/nowhere" in page.text
    assert len(page.html.find("section", "problem").find("code").text) == 16


def test_agent_who_may_only_send_can_log_out(site: Site) -> None:
    agent = browser(site, "agnes")
    form = agent.get("/", status=403).form
    assert form.action == "/logout"
    form.submit(status=303)
    assert "/login" in agent.get("/", status=303).location
