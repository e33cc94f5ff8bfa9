"""Pages of what a Data Analysis reads and makes, and its own."""

import pytest
from tests.activity.conftest import drain
from tests.portal_types.analyses.conftest import TO_ROWS, make_transformation
from tests.web.pages.conftest import PASSWORD, Browser
from webtest import TestApp

from haywain.ingestion.delivery import deliver
from haywain.ingestion.request import Request
from haywain.portal import Site
from haywain.portal_types.data_analysis import DataAnalysis
from haywain.security import User
from haywain.web.application import make_application

AGENT = User("agent", frozenset({"Agent"}))


@pytest.fixture(scope="module")
def analysis(site: Site) -> str:
    """The path of a Data Analysis that has run."""
    site.transact(lambda p: make_transformation(p, TO_ROWS, ("vibration",), "rows"))
    deliver(site, Request("default", b"t.vibration", bytes(80), user=AGENT))
    drain(site)
    with site.open() as portal:
        [path] = [f"data_analysis_module/{id}" for id in portal.root["data_analysis_module"].documents]
    return path


def test_pages_of_what_it_reads_and_makes_are_there(manager: Browser, site: Site, analysis: str) -> None:
    """They list the Alerts that watch them, which it is none of, and the analyses of them."""
    with site.open() as portal:
        found = portal[analysis]
        assert isinstance(found, DataAnalysis)
        paths = [found.inputs()[0].document.path, found.outputs()[0].path]
    pages = [manager.get(f"/{path}") for path in paths]
    assert all("Alerts" in page for page in pages)
    [found, none] = [page.html.find(id="worked") for page in pages]
    assert none is None and "80 of 80 bytes" in found.parent.text


def test_page_tells_how_far_it_is_and_what_came_of_it(manager: Browser, analysis: str) -> None:
    page = manager.get(f"/{analysis}")
    assert "80 B of 80 B" in page and "float64" not in page.html.title.text
    assert page.html.find("dt", string="Appended").find_next("dd").text == "10"
    assert page.html.select_one("#makes + dl dd").text == "t.vibration rows (10)"
    assert "80 of 80 bytes" in manager.get("/data_analysis_module").text


def test_page_of_the_past_is_there(manager: Browser, site: Site, analysis: str) -> None:
    with site.open() as portal:
        tid = portal.connection._storage.lastTransaction().hex()
    assert "80 B of 80 B" in manager.get(f"/@{tid}/{analysis}")


def test_buttons_run_and_refresh_it(manager: Browser, site: Site, analysis: str) -> None:
    assert manager.send(f"/{analysis}/run").headers["Location"].endswith(f"/{analysis}?done=queued")
    drain(site)
    manager.send(f"/{analysis}/refresh")
    assert "Refresh" in manager.get(f"/{analysis}").html.find(id="progress").parent.text
    again = manager.send(f"/{analysis}/refresh", status=409)
    assert "It was not refreshed:" in again and "is being refreshed: wait for that" in again
    drain(site)
    assert "80 B of 80 B" in manager.get(f"/{analysis}")


def test_programs_run_and_refresh_it(viewer: Browser, site: Site, analysis: str) -> None:
    program = TestApp(make_application(site))
    program.authorization = ("Basic", ("admin", PASSWORD))
    for name in ("run", "refresh"):
        found = program.post(f"/{analysis}/{name}", status=202)
        drain(site)
        job = program.get(found.headers["Location"]).json
        assert (job["id"], job["state"], job["method"]) == (found.json["id"], "done", "analyze")
        viewer.send(f"/{analysis}/{name}", status=403)
    told = program.get(f"/{analysis}", headers={"Accept": "application/json"}).json
    assert (told["state"], told["result"]["rows"], told["problem"]) == ("started", 10, None)


def test_page_of_the_recipe_lists_them(manager: Browser, site: Site, analysis: str) -> None:
    with site.open() as portal:
        recipe = portal[analysis].linked("transformation")[0]
    page = manager.get(f"/{recipe}")
    assert page.html.find("a", href=f"/{analysis}") is not None
    assert "vibration" in page and "Add a line" not in page
    assert page.html.find("dt", string="Kind of work").find_next("dd").text == "Make an array"
    manager.send(f"/{recipe}/transition", transition="invalidate")
    assert "Add a line" in manager.get(f"/{recipe}")
    manager.send(f"/{recipe}/transition", transition="validate")
