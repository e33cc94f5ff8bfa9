"""The page of a Data Bucket Stream: keys as data, page by page, and a file from a form."""

from typing import Any

import pytest
from tests.web.pages.conftest import Browser

from haywain.portal import Portal, Site
from haywain.web.pages import data_bucket_stream as page_module

KEYS = ["a/b.csv", "plain", "<b>bold</b>", "\u0436 %", "../up"]


@pytest.fixture(scope="module")
def path(site: Site) -> str:
    def make(portal: Portal) -> str:
        stream: Any = portal.new("Data Bucket Stream", reference="flights", description="Of drones.")
        for key in KEYS:
            stream.insert(key, key.encode() * 100)
        return str(stream.path)

    return site.transact(make)[0]


def rows(page: Any) -> list[str]:
    return [cell.text for cell in page.html.select("td.name")]


def test_keys_are_listed_and_lead_to_their_bytes(viewer: Browser, path: str) -> None:
    page = viewer.get(f"/{path}")
    assert rows(page) == sorted(KEYS) and "5 buckets" in page.text and "Of drones." in page.text
    for link, key in zip(page.html.select("td.name a"), sorted(KEYS), strict=True):
        if key != "../up":  # WebTest normalises it, as browsers do not
            assert viewer.get(link["href"]).body == key.encode() * 100
        assert link["href"].startswith(f"/{path}/buckets/") and link["href"].count("/") == 4


def test_pages_follow(viewer: Browser, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "PER_PAGE", 2)
    page, found = viewer.get(f"/{path}"), []
    while True:
        found += rows(page)
        if not page.html.find("a", rel="next"):
            break
        page = page.click("Next page")
    assert found == sorted(KEYS)
    assert rows(page.click("First page")) == sorted(KEYS)[:2]


def test_a_file_of_a_form_is_stored(site: Site, manager: Browser) -> None:
    path, _ = site.transact(lambda portal: portal.new("Data Bucket Stream", reference="form").path)
    assert "There is nothing here yet." in manager.get(f"/{path}")
    for key, expected in (("", "photo.png"), (" 2026/photo ", "2026/photo")):
        form = manager.get(f"/{path}").forms["upload"]
        form["file"], form["key"] = ("photo.png", b"picture"), key
        page = form.submit(status=303).follow()
        assert "The file was stored." in page and expected in rows(page)
    form = manager.get(f"/{path}").forms["upload"]
    assert "Choose a file" in form.submit(status=400)


def test_who_may_not_edit_sees_no_form(viewer: Browser, path: str) -> None:
    page = viewer.get(f"/{path}")
    assert "upload" not in page.forms and "DELETE" not in page.text
    assert "limit=100" in page.text


def test_module_lists_it(viewer: Browser, path: str) -> None:
    assert "flights" in viewer.get("/data_bucket_stream_module")
