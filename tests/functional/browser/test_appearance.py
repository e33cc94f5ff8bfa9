"""Every page as it looks: wide and narrow, light and dark; readable by all (axe); nothing sticks out.

The pictures go to `artifacts/screenshots`.  With SCREENSHOT=1 in the environment each page is looked at in
all four ways, and the picture of the README is written anew.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.functional.browser.conftest import NARROW, WIDE
from tests.functional.program import Client

ROOT = Path(__file__).parents[3]
PICTURES = ROOT / "artifacts" / "screenshots"
AXE = (ROOT / "tests" / "functional" / "vendor" / "axe-core-4.14.1" / "axe.min.js").read_text(
    encoding="utf-8"
)
PAGES = {
    "login": "/login",
    "home": "/",
    "search": "/search?text=turbine",
    "search-empty": "/search?text=nothing",
    "data-streams": "/data_stream_module?sort=reference",
    "data-stream-wav": "{turbine-6.wav}",
    "data-stream-text": "{mast-2.wind}",
    "data-stream-new": "/data_stream_module/new",
    "data-array-new": "/data_array_module/new",
    "run": "{turbine-6.wav}/run?kind=spectrum",
    "data-product": "{wind}",
    "data-supply": "{mast-2}",
    "data-supply-edit": "{mast-2}/edit",
    "ingestion-policies": "/portal_ingestion_policies",
    "ingestion-policy": "/portal_ingestion_policies/default",
    "ingestion-policy-new": "/portal_ingestion_policies/new",
    "data-ingestions": "/data_ingestion_module",
    "quarantine": "/quarantine_module",
    "quarantined": "{../turbine-7}",
    "schedules": "/schedule_module",
    "schedule-new": "/schedule_module/new",
    "alerts": "/alert_module",
    "alert-new": "/alert_module/new",
    "workers": "/workers",
    "people": "/person_module",
    "person-new": "/person_module/new",
    "tokens": "/token_module",
    "token": "{gateway}",
    "token-new": "/token_module/new?scopes=ingest:default",
}
LOOKS = ((WIDE, 900, "light"), (NARROW, 844, "dark"), (WIDE, 900, "dark"), (NARROW, 844, "light"))
"""Width, height and colours; the first two show every colour and every order, the others their mixture."""
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
SUMMARY = """async rules => (await axe.run(document, rules)).violations.map(rule =>
    rule.nodes.slice(0, 3).map(one => `${rule.id}: ${one.html.slice(0, 200)} ${one.failureSummary}`))"""
STICKS_OUT = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def go(page: Page, client: Client, where: str) -> None:
    if where.startswith("{"):
        reference, _, rest = where[1:].partition("}")
        where = "/" + client.search(reference=reference)["items"][0]["path"] + rest
    page.goto(where)
    if page.locator("canvas.wave").count():
        page.locator("canvas[data-drawn]").wait_for()


def check(page: Page, name: str, width: int, scheme: str) -> None:
    assert page.evaluate(STICKS_OUT) <= 0, f"{name} sticks out at {width}"
    page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
    assert page.evaluate(SUMMARY, RULES) == [], f"{name} at {width}, {scheme}"


@pytest.mark.parametrize("name", PAGES)
def test_page_looks_right_and_is_readable_by_all(page: Page, client: Client, name: str) -> None:
    if name == "login":
        page.context.clear_cookies()
    go(page, client, PAGES[name])
    look(page, name)


def look(page: Page, name: str) -> None:
    page.evaluate(AXE)
    for width, height, scheme in LOOKS if os.environ.get("SCREENSHOT") else LOOKS[:2]:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        check(page, name, width, scheme)


def test_form_that_is_refused_looks_right(page: Page, said: list[str]) -> None:
    page.goto("/data_stream_module/new")
    page.get_by_label("Content type").fill("nonsense")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("alert").wait_for()
    look(page, "form-refused")
    said.clear()


def test_token_that_is_made_looks_right(page: Page) -> None:
    page.goto("/token_module/new?scopes=read")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="The token is made").wait_for()
    look(page, "token-made")


def test_policy_that_is_made_and_waits_looks_right(page: Page, client: Client) -> None:
    page.goto("/portal_ingestion_policies/new")
    page.get_by_label("Reference").fill("weather-stations")
    page.get_by_label("Rule").select_option("ndjson")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="weather-stations is ready").wait_for()
    look(page, "ingestion-policy-made")
    url = "/portal_ingestion_policies/weather-stations/ingest?reference=north"
    assert client("POST", url, b"nonsense", {"Content-Type": "text/plain"}).status == 200
    expect(page.locator("#arrivals")).to_contain_text("could not be delivered")
    assert client("POST", url, b'{"a":1}', {"Content-Type": "application/json"}).is_stored
    page.goto("/portal_ingestion_policies/weather-stations")
    expect(page.locator("#arrivals")).to_contain_text("It works")
    look(page, "ingestion-policy-used")


def test_login_is_no_wider_than_it_needs(page: Page) -> None:
    page.context.clear_cookies()
    page.goto("/login")
    form = page.locator("form").bounding_box()
    assert form is not None and form["width"] < 450 and abs(form["x"] + form["width"] / 2 - WIDE / 2) < 20


def test_navigation_of_a_phone_shows_where_one_is(page: Page) -> None:
    page.set_viewport_size({"width": NARROW, "height": 844})
    page.goto("/token_module")
    expect(page.locator(".side [aria-current]")).to_be_in_viewport(ratio=1)


def test_row_of_a_phone_leaves_out_what_is_empty(page: Page) -> None:
    page.set_viewport_size({"width": NARROW, "height": 844})
    page.goto("/search?text=turbine&kind=Data+Supply")
    assert page.locator("td.size").count() > 0
    expect(page.locator("td.size").first).to_be_hidden()
    expect(page.locator("td.time").first).to_be_visible()


def test_problem_page_looks_right(page: Page, said: list[str]) -> None:
    page.goto("/nowhere")
    look(page, "problem")
    assert [one for one in said if "404" in one] == said
    said.clear()


def test_dark_mode_follows_the_reader(page: Page) -> None:
    page.goto("/")
    shade = "parseInt(getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/)[0])"
    assert page.evaluate(shade) > 200
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(shade) < 60


def test_picture_of_the_readme_is_written_on_demand(page: Page, client: Client, tmp_path: Path) -> None:
    go(page, client, PAGES["data-stream-wav"])
    target = ROOT / "docs" / "screenshot.png" if os.environ.get("SCREENSHOT") else tmp_path / "screenshot.png"
    page.screenshot(path=target)
    assert target.read_bytes().startswith(b"\x89PNG")
