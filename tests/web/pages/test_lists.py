"""Lists and the search: words, patterns, order, pages, states, all in the address."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.pages.conftest import PASSWORD, Browser, browser

from haywain.app import open_site
from haywain.portal import Portal, Site
from haywain.settings import Settings
from haywain.web.pages.modules import PER_PAGE


@pytest.fixture(scope="module", autouse=True)
def many(site: Site) -> Iterator[None]:
    """More products than a page shows."""

    def fill(portal: Portal) -> None:
        for number in range(PER_PAGE + 5):
            portal.new("Data Product", reference=f"product-{number:03d}", title=f"Number {number}")

    site.transact(fill)
    yield


def names(browser: Browser, where: str) -> list[str]:
    return [link.text for link in browser.get(where).html.select("td.name a")]


def test_words_find_documents_of_every_kind(viewer: Browser) -> None:
    assert set(names(viewer, "/search?text=turbine")) == {"turbine-1.wav", "turbine-1"}


def test_percent_makes_a_pattern_of_the_reference(viewer: Browser) -> None:
    assert names(viewer, "/search?text=%25.LOG") == ["weather.log"]


def test_kind_narrows_the_search(viewer: Browser) -> None:
    assert names(viewer, "/search?text=turbine&kind=Data+Supply") == ["turbine-1"]


def test_search_finds_nobody_whom_the_user_may_not_see(viewer: Browser, manager: Browser) -> None:
    assert names(viewer, "/search?text=vera") == []
    assert names(manager, "/search?text=vera") == ["vera"]


def test_heading_sorts_and_sorts_back(viewer: Browser) -> None:
    page = viewer.get("/data_stream_module")
    smallest = page.click("Size").click("Size")
    assert smallest.request.query_string == "sort=size"
    assert [link.text for link in smallest.html.select("td.name a")] == ["turbine-1.wav", "weather.log"]
    assert smallest.html.find("th", "col-size")["aria-sort"] == "ascending"


def test_pages_follow_each_other_without_gap_or_repetition(viewer: Browser) -> None:
    first = viewer.get("/data_product_module?text=product&sort=reference")
    second = first.click("Next page")
    found = [link.text for page in (first, second) for link in page.html.select("td.name a")]
    assert found == [f"product-{number:03d}" for number in range(PER_PAGE + 5)]
    assert first.html.select_one(".pager p").text == f"{PER_PAGE + 5} documents"
    assert "Next page" not in second and second.click("First page").request.url == first.request.url


def test_what_is_deleted_is_listed_on_demand_only(site: Site, viewer: Browser) -> None:
    def fill(portal: Portal) -> None:
        portal.new("Data Product", reference="gone").state = "deleted"

    site.transact(fill)
    assert names(viewer, "/data_product_module?text=gone") == []
    assert names(viewer, "/data_product_module?text=gone&state=deleted") == ["gone"]
    assert names(viewer, "/data_product_module?text=gone&state=all") == ["gone"]
    assert names(viewer, "/search?text=gone&state=all") == ["gone"]


@pytest.mark.parametrize(
    ("query", "told"),
    [("sort=colour", "There is no search key"), ("cursor=x%21", "cursor"), ("cursor=W10", "cursor")],
    ids=["sort", "damaged-cursor", "foreign-cursor"],
)
def test_what_makes_no_sense_is_told(viewer: Browser, query: str, told: str) -> None:
    page = viewer.get(f"/data_stream_module?{query}", status=400)
    assert told in page.html.find("p", "lead").text


def test_nothing_found_says_how_to_search(viewer: Browser) -> None:
    assert "Nothing matches" in viewer.get("/search?text=zzz")


def test_home_shows_what_there_is_and_what_arrived_last(viewer: Browser) -> None:
    page = viewer.get("/")
    tiles = {
        t.find(class_="name").text.strip(): t.find(class_="figure").text for t in page.html.select(".tile")
    }
    assert tiles["Data Streams"] == "2" and tiles["Quarantine"] == "1" and "Disk" in tiles
    assert [link.text for link in page.html.select("td.name a")] == ["weather.log", "turbine-1.wav"]


def test_navigation_marks_the_place_and_what_waits(viewer: Browser) -> None:
    page = viewer.get("/data_stream_module")
    assert page.html.select_one("nav [aria-current=page]").text.strip() == "Data Streams"
    assert page.html.select_one(".badge").text == "1 waiting"


def test_first_command_is_safe_to_paste_whatever_the_login(tmp_path: Path) -> None:
    opened, _ = open_site(Settings(data=tmp_path / "var", admin_password=PASSWORD))
    try:
        opened.transact(
            lambda p: p.new("Person", reference="o'neil;ls", roles=("Editor",), password=PASSWORD)
        )
        command = browser(opened, "o'neil;ls").get("/").html.select_one(".copyable code").text
    finally:
        opened.close()
    assert shlex.split(command)[4:6] == ["--user", "o'neil;ls"] and "?reference=hello.world" in command


def test_page_that_there_is_not_leads_back(viewer: Browser, paths: dict[str, str]) -> None:
    log = paths["weather.log"]
    for where, href, title in (
        ("/data_stream_module/nothing", "/data_stream_module", "Back to Data Streams"),
        (f"/{log}/run?kind=nothing", f"/{log}", "Back to weather.log"),
        (f"/{log}/nowhere", f"/{log}", "Back to weather.log"),
    ):
        links = viewer.get(where, status=404).html.select(".problem a")
        assert [(a["href"], a.text) for a in links] == [(href, title), ("/", "Go to the start page")]
    for where in ("/nowhere", "/person_module/nobody"):
        links = viewer.get(where, status="4*").html.select(".problem a")
        assert [a["href"] for a in links] == ["/"]
