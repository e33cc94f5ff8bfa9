"""The page of an Alert: made by a form, validated, tested, and what it says of itself to whom."""

from typing import Any

import pytest
from tests.web.pages.conftest import Browser

from haywain.portal import Portal, Site

NEW = 'a[href^="/alert_module/new"]'


@pytest.fixture(scope="module")
def editor(site: Site) -> Browser:
    made = Browser(site)
    assert made.log_in("emil").status_int == 303
    return made


@pytest.fixture(scope="module")
def array(site: Site) -> str:
    def make(portal: Portal) -> str:
        found: Any = portal.new("Data Array", reference="bearing")
        found.create((0,), "<f8")
        found.append([12.5])
        return str(found.path)

    return site.transact(make)[0]


def made(editor: Browser, document: str, **fields: Any) -> str:
    form = editor.form(f"/alert_module/new?document={document}")
    for name, value in ({"threshold": "80", "webhook": "https://example.org/hook"} | fields).items():
        form[name] = value
    return str(form.submit(status=303).headers["Location"]).partition("?")[0]


def test_it_is_made_validated_and_tested(editor: Browser, site: Site, array: str) -> None:
    page = made(editor, array, reference="too hot")
    found = editor.get(page)
    assert "It watches once it is validated" in found and "above 80" in found
    assert found.html.find("a", string="bearing")["href"] == f"/{array}"
    editor.send(f"{page}/transition", transition="validate")
    while site.workers.run_next() == 0:
        pass
    found = editor.get(page)
    assert found.html.select_one(".facts .state").text == "ok"
    editor.send(f"{page}/test")
    found = editor.get(page)
    assert "a test is sent" in found.html.find("pre", "log").text
    (message,) = found.html.select(".messages li")
    assert message.a.text == "Send webhook" and message.select_one(".state").text == "queued"
    listed = editor.get("/alert_module")
    assert "above 80" in listed and "too hot" in listed


def test_array_lists_its_alerts_and_leads_to_a_new_one(
    editor: Browser, viewer: Browser, array: str, paths: dict[str, str]
) -> None:
    page = made(editor, array, reference="cold", direction="below", threshold="-10")
    editor.send(f"{page}/transition", transition="validate")
    found = editor.get(f"/{array}").html
    cold = next(li for li in found.select(".messages li") if li.a.text == "cold")
    assert cold.a["href"] == page and "below -10" in cold.text and cold.select_one(".state").text == "ok"
    form = editor.form(found.select_one(NEW)["href"])
    assert (form["document"].value, form["watches"].value) == (array, "threshold")
    assert "New alert" not in viewer.get(f"/{array}") and "cold" in viewer.get(f"/{array}")
    link = editor.get(f"/{paths['weather.log']}").html.select_one(NEW)
    assert editor.form(link["href"])["watches"].value == "silence"


def test_program_tests_it(editor: Browser, array: str) -> None:
    page = made(editor, array)
    token = editor.get("/search").html.find("meta", {"name": "csrf-token"})["content"]
    headers = {"Accept": "application/json", "X-CSRF-Token": token}
    answer = editor.post(f"{page}/test", "", headers, status=202)
    assert [set(item) for item in answer.json["items"]] == [{"id", "url"}]
    assert editor.get(answer.json["items"][0]["url"], headers=headers).json["method"] == "_send_webhook"


def test_secret_is_shown_to_those_who_may_edit_only(
    editor: Browser, viewer: Browser, site: Site, array: str
) -> None:
    page = made(editor, array)
    with site.open() as portal:
        secret = portal[page.strip("/")].properties.webhook_secret  # type: ignore[attr-defined]
    assert secret in editor.get(page)
    assert secret not in viewer.get(page) and "Send a test" not in viewer.get(page)
    assert secret not in viewer.get(page, headers={"Accept": "application/json"})
    viewer.send(f"{page}/test", status=403)


def test_what_is_wrong_stands_beside_its_field(editor: Browser, array: str) -> None:
    form = editor.form("/alert_module/new")
    form["document"], form["clear"], form["threshold"], form["mail_to"] = array, "90", "80", "ann"
    found = form.submit(status=400)
    wrong = {span.parent["id"]: span.text for span in found.html.find_all("span", "wrong")}
    assert set(wrong) == {"mail_to-hint"} and "is no address" in wrong["mail_to-hint"]
    form["mail_to"] = ""
    found = form.submit(status=400)
    assert "must be at most the threshold" in found.html.find(role="alert").text
    form["clear"], form["webhook"] = "", "https://192.168.0.1/"
    assert "192.168.0.1 is an address of this network" in form.submit(status=400).html.find(role="alert").text


def test_trouble_and_snooze_are_shown(editor: Browser, site: Site, array: str) -> None:
    page = made(editor, array, snoozed_until="2999-01-01T00:00")

    def trouble(portal: Portal) -> None:
        alert: Any = portal[page.strip("/")]
        alert.course.trouble("The owner <is> gone")
        alert.course.failed("example.org answers 404")

    site.transact(trouble)
    found = editor.get(page)
    assert "It cannot look: <bdi>The owner &lt;is&gt; gone" in found.text
    assert "A message was not sent: <bdi>example.org answers 404" in found.text
    assert "Nothing is sent before" in found and "2999" in found
    editor.send(f"{page}/test")


def test_test_that_tells_nobody_says_so(editor: Browser, array: str) -> None:
    page = made(editor, array, webhook="")
    assert "Send a test" not in editor.get(page)
    assert "It tells nobody" in editor.send(f"{page}/test", status=400).html.find(role="alert").text
