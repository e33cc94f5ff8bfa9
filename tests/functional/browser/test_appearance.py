"""Every page as it looks: wide and narrow, light and dark; readable by all (axe); nothing sticks out.

The pictures go to `artifacts/screenshots`.  With SCREENSHOT=1 in the environment each page is looked at in
all four ways, and the picture of the README is written anew.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page
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
    "data-streams": "/data_stream_module?sort=reference",
    "data-stream-wav": "{turbine-6.wav}",
    "data-stream-text": "{mast-2.wind}",
    "data-stream-new": "/data_stream_module/new",
    "data-product": "{wind}",
    "data-supply-edit": "{mast-2}/edit",
    "ingestion-policies": "/portal_ingestion_policies",
    "ingestion-policy": "/portal_ingestion_policies/default",
    "quarantine": "/quarantine_module",
    "quarantined": "{../turbine-7}",
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
    page.evaluate(AXE)
    for width, height, scheme in LOOKS if os.environ.get("SCREENSHOT") else LOOKS[:2]:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        check(page, name, width, scheme)


def test_problem_page_looks_right(page: Page, said: list[str]) -> None:
    page.goto("/nowhere")
    page.evaluate(AXE)
    check(page, "problem", WIDE, "light")
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
