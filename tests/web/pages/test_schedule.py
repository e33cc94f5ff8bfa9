"""The page of a Schedule: made by a form, validated, run now, and what it says of itself."""

from typing import Any

import pytest
from tests.web.pages.conftest import Browser

from haywain.portal import Site


@pytest.fixture(scope="module")
def editor(site: Site) -> Browser:
    made = Browser(site)
    assert made.log_in("emil").status_int == 303
    return made


def made(editor: Browser, paths: dict[str, str], **fields: Any) -> str:
    form = editor.form(f"/schedule_module/new?document={paths['weather.log']}&method=seal")
    for name, value in ({"rule": "30 6 * * MON-FRI", "time_zone": "Europe/Berlin"} | fields).items():
        form[name] = value
    return str(form.submit(status=303).headers["Location"]).partition("?")[0]


def test_it_is_made_validated_and_run(editor: Browser, site: Site, paths: dict[str, str]) -> None:
    page = made(editor, paths, reference="nightly")
    found = editor.get(page)
    assert (
        "At 06:30 on Monday through Friday, Europe/Berlin" in found and "not before it is validated" in found
    )
    assert found.html.find("a", string="weather.log")["href"] == f"/{paths['weather.log']}"
    editor.send(f"{page}/transition", transition="validate")
    found = editor.get(page)
    assert "not before it is validated" not in found and "not yet" in found
    activity = editor.send(f"{page}/run").headers["Location"].partition("?")[0]
    found = editor.get(page)
    assert found.html.find("a", href=activity).text == "Seal" or activity in found.text
    again = editor.send(f"{page}/run", status=409)
    assert "It was not run:" in again and "is still queued" in again
    assert "queued " in found.html.find("pre", "log").text
    listed = editor.get(found.html.select_one(".more a")["href"])
    assert activity in listed.text
    assert "30 6 * * MON-FRI" in editor.get("/schedule_module").text


def test_what_is_wrong_stands_beside_its_field(editor: Browser, paths: dict[str, str]) -> None:
    form = editor.form("/schedule_module/new")
    form["document"], form["method"], form["rule"], form["time_zone"] = "x/y", "seal", "61 * * * *", "Mars"
    found = form.submit(status=400)
    wrong = {span.parent["id"]: span.text for span in found.html.find_all("span", "wrong")}
    assert set(wrong) == {"rule-hint", "time_zone-hint"} and "Bad minute" in wrong["rule-hint"]
    form["rule"], form["time_zone"] = "@daily", "UTC"
    found = form.submit(status=400)
    assert "There is nothing at" in found.html.find(role="alert").text


def test_problem_is_shown_and_another_s_run_leads_back(
    editor: Browser, manager: Browser, viewer: Browser, site: Site, paths: dict[str, str]
) -> None:
    page = made(editor, paths)
    manager.send(f"{page}/run")
    assert "Run now" not in viewer.get(page)
    viewer.send(f"{page}/run", status=403)

    def break_it(portal: Any) -> None:
        portal[page.strip("/")].problem = "The owner <is> gone"

    site.transact(break_it)
    assert "it was not run: <bdi>The owner &lt;is&gt; gone" in viewer.get(page).text
