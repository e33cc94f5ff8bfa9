"""Quarantine: what is kept and why; replaying it, with success and without."""

import pytest
from tests.web.pages.conftest import Browser

from haywain.portal import Portal, Site


@pytest.fixture
def kept(paths: dict[str, str]) -> str:
    return f"/{paths['../etc/passwd']}"


def quarantined(site: Site, tag: str) -> str:
    """Keep a request whose cause is gone."""
    made, _ = site.transact(
        lambda portal: (
            portal.new(
                "Quarantine",
                body=b"a late one",
                raw_tag=tag.encode(),
                policy="default",
                tag=tag,
                reference=tag,
                reason="It was too early.",
            ).path
        )
    )
    return f"/{made}"


def test_list_says_why(viewer: Browser) -> None:
    page = viewer.get("/quarantine_module")
    row = [cell.text for cell in page.html.select("tbody td")]
    assert row[:4] == ["../etc/passwd", "The tag holds a slash", "default", "15 B"]


def test_page_shows_reason_tag_and_body(viewer: Browser, kept: str) -> None:
    page = viewer.get(kept)
    assert page.html.select_one("section bdi").text == "The tag holds a slash"
    assert page.html.select_one("pre.bytes").text.strip() == "never delivered"
    assert page.html.find("a", string="default")["href"] == "/portal_ingestion_policies/default"


def test_replay_that_fails_says_why_and_keeps_it(site: Site, manager: Browser, kept: str) -> None:
    form = next(form for form in manager.get(kept).forms.values() if form.action.endswith("/replay"))
    page = form.submit(status=400)
    assert "still cannot be delivered: The tag holds a slash" in page.html.find(role="alert").text
    with site.open() as portal:
        assert portal[kept].state == "quarantined"


def test_replay_delivers_and_links_to_the_stream(site: Site, manager: Browser) -> None:
    where = quarantined(site, "late.arrival")
    page = manager.send(f"{where}/replay").follow()
    assert "Replayed" in page and page.html.select_one(".state").text == "replayed"
    stream = page.html.find("a", string="late.arrival")["href"]
    assert manager.get(f"{stream}/data").body == b"a late one"
    assert not [form for form in page.forms.values() if form.action.endswith(("/replay", "/transition"))]
    manager.send(f"{where}/replay", status=400)
    assert manager.get(f"{stream}/data").body == b"a late one"


def test_discard_takes_it_from_the_list(site: Site, manager: Browser) -> None:
    where = quarantined(site, "to.discard")
    manager.send(f"{where}/transition", transition="discard")
    assert "to.discard" not in manager.get("/quarantine_module")
    assert "to.discard" in manager.get("/quarantine_module?state=discarded")


def test_nobody_says_replayed_without_a_replay(site: Site, manager: Browser) -> None:
    where = quarantined(site, "not.replayed")
    assert not manager.get(where).html.find("button", value="replayed")
    manager.send(f"{where}/transition", status=400, transition="replayed")


def test_policy_tells_its_rule_its_address_and_what_waits(site: Site, manager: Browser) -> None:
    page = manager.get("/portal_ingestion_policies/default")
    commands = [code.text for code in page.html.select(".copyable code")]
    assert commands[0] == "http://localhost/portal_ingestion_policies/default/ingest?reference=TAG"
    assert commands[1].startswith("curl --user admin ") and "Idempotency-Key" in commands[1]
    assert 'headers_from_placeholders {"Idempotency-Key":"${chunk_id}"}' in commands[2]
    assert "503" in commands[2] and "@type file" in commands[2]
    assert "could not be delivered" in page.html.find(class_="notice").text
    assert "body is appended untouched" in page
    assert page.html.find("a", string="make one for this policy")["href"].endswith("scopes=ingest%3Adefault")


def test_policy_of_a_rule_that_is_gone_still_has_a_page(site: Site, manager: Browser) -> None:
    def fill(portal: Portal) -> None:
        portal.new("Ingestion Policy", reference="lost", rule="gone")

    site.transact(fill)
    assert "There is no rule &#39;gone&#39;" in manager.get("/portal_ingestion_policies/lost")
