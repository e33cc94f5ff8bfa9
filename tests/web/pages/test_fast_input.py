"""The pages of fast input and of a policy."""

from typing import Any

import pytest
from tests.web.pages.conftest import Browser

from haywain.ingestion import Request, deliver
from haywain.portal import Portal, Site
from haywain.security import User

ADMIN = User("admin", frozenset({"Manager"}))
MODULE = "/portal_ingestion_policies"


def make(manager: Browser, reference: str, rule: str = "append_as_is") -> Any:
    form = manager.form(f"{MODULE}/new")
    form["reference"], form["rule"] = reference, rule
    return form.submit(status=200)


def test_form_offers_every_rule_and_says_what_each_does(site: Site, manager: Browser) -> None:
    button = manager.get(MODULE).html.find("a", class_="button", href=f"{MODULE}/new")
    assert button.text == "New Ingestion Policy"
    form = manager.form(f"{MODULE}/new")
    assert {value for value, _, _ in form["rule"].options} == set(site.registry.ingestion_policies)
    assert form["rule"].value == "append_as_is"
    hint = manager.get(f"{MODULE}/new").html.find(id="rule-hint").text
    assert "ndjson: records as lines of JSON" in hint


def test_policy_is_made_and_its_token_shown_once(site: Site, manager: Browser) -> None:
    page = make(manager, "fast", "ndjson")
    assert page.headers["Cache-Control"] == "no-store"
    secret = page.html.select_one(".copyable code").text
    assert secret.startswith("hw_")
    texts = [code.text for code in page.html.select("details .copyable code")]
    assert len(texts) == 8 and all(secret in text for text in texts)
    assert "Nothing has come yet" in page and page.html.find(id="arrivals")["hx-get"] == f"{MODULE}/fast"
    assert secret not in manager.get(f"{MODULE}/fast")
    with site.open() as portal:
        assert portal["portal_ingestion_policies/fast"].rule == "ndjson"  # type: ignore[attr-defined]


def test_test_now_tells_what_came(site: Site, manager: Browser) -> None:
    make(manager, "tested")
    assert "Nothing has come yet" in manager.get(f"{MODULE}/tested")
    deliver(site, Request("tested", b"tested", b"hello", user=ADMIN))
    arrivals = manager.get(f"{MODULE}/tested").html.find(id="arrivals")
    assert "It works" in arrivals.text and "5 B" in arrivals.text and not arrivals.has_attr("hx-get")
    assert arrivals.find("a", string="tested")["href"].startswith("/data_stream_module/")


def test_test_now_tells_what_could_not_be_delivered(site: Site, manager: Browser) -> None:
    make(manager, "troubled", "ndjson")
    deliver(site, Request("troubled", b"troubled", b"nonsense", user=ADMIN))
    page = manager.get(f"{MODULE}/troubled")
    assert "could not be delivered" in page.html.find(id="arrivals").text
    recent = page.html.find("section", {"aria-labelledby": "recent"})
    assert "has no records" in recent.text and recent.find("a")["href"].startswith("/quarantine_module/")


def test_refused_form_is_shown_again(manager: Browser) -> None:
    form = manager.form(f"{MODULE}/new")
    form["reference"] = "a/b"
    page = form.submit(status=400)
    assert "slash" in page.html.find(role="alert").text and page.html.find(id="reference")["value"] == "a/b"


def test_policy_says_whether_it_is_on(manager: Browser) -> None:
    make(manager, "switched")
    assert "It is off" not in manager.get(f"{MODULE}/switched")
    manager.send(f"{MODULE}/switched/transition", transition="invalidate")
    assert "It is off" in manager.get(f"{MODULE}/switched")


def test_policy_says_what_is_wrong_with_the_file_of_its_rule(
    site: Site, manager: Browser, viewer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    import haywain.ingestion_policies.ndjson as module

    monkeypatch.setitem(site.registry.problems, str(module.__file__), "line 3: <oops>")
    page = manager.get(f"{MODULE}/ndjson")
    assert "line 3: &lt;oops&gt;" in page and "line 3" not in manager.get(f"{MODULE}/csv")
    assert "line 3: &lt;oops&gt;" in manager.get(MODULE)
    assert "line 3" not in viewer.get(MODULE) and "line 3" not in viewer.get(f"{MODULE}/ndjson")


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "'\"`${7*7}{{7*7}}"], ids=["tag", "quotes"])
def test_name_is_data(manager: Browser, name: str) -> None:
    page = make(manager, name)
    assert page.html.find("img", src="x") is None and "49" not in page.html.find("h1").text
    assert page.html.h1.text == f"{name} is ready"


def test_form_is_for_managers(viewer: Browser) -> None:
    viewer.get(f"{MODULE}/new", status=403)
    viewer.send(f"{MODULE}/new", status=403, reference="x")
    assert "New Ingestion Policy" not in viewer.get(MODULE)


def test_kinds_of_lines_are_found_but_not_in_the_way(site: Site, manager: Browser) -> None:
    def hrefs(where: str) -> set[str]:
        return {link["href"] for link in manager.get(where).html.select("nav a")}

    assert "/data_ingestion_module" in hrefs("/") and "/data_ingestion_line_module" not in hrefs("/")
    assert "/data_ingestion_line_module" in hrefs("/data_ingestion_line_module")

    def lines(portal: Portal) -> int:
        return int(portal.catalog(portal_type="Data Ingestion Line").count())

    assert site.transact(lines)[0] > 0
    assert "Data Ingestion" in manager.get("/search?text=turbine&kind=Data+Ingestion").html.main.text


def test_line_is_added_from_the_page_of_its_supply(
    manager: Browser, viewer: Browser, paths: dict[str, str]
) -> None:
    supply = f"/{paths['weather']}"

    def offered(browser: Browser, where: str) -> list[str]:
        return [link["href"] for link in browser.get(where).html.select("p.more a")]

    form = manager.form(offered(manager, supply)[0])
    assert f"/{form['supply'].value}" == supply
    form["resource"], form["use"] = paths["log"], "big_data/ingestion"
    line = form.submit(status=303).follow()
    assert "big_data/ingestion" in line.html.main.text.replace("\u200b", "")
    assert manager.get(supply).html.find("dt", string="Data Supply Line")
    assert offered(viewer, supply) == offered(manager, f"/{paths['log']}") == []
