"""The page of a Job: begun by a form, its parts, what it came to, retried and cancelled as a whole."""

from typing import Any

import numpy as np
import pytest
from tests.web.pages.conftest import Browser

from haywain.activity.kept import Arrays
from haywain.activity.map_reduce import MapReduce, Part
from haywain.portal import Portal, Site
from haywain.web.pages import job as page_module


class Total(MapReduce):
    """Sum up the rows; refuse 13 until it is told otherwise."""

    name, title, portal_types = "total", "Sum up", ("Data Array",)
    refuses = True

    def map(self, part: Part) -> Arrays:
        rows = part.source.read(part.start, part.stop)  # type: ignore[attr-defined]
        if self.refuses and (rows == 13).any():
            raise ValueError("<13> brings no luck")
        return {"sum": np.array([rows.sum()])}

    def reduce(self, one: Arrays, other: Arrays) -> Arrays:
        return {"sum": one["sum"] + other["sum"]}


@pytest.fixture(autouse=True)
def kind(site: Site) -> Total:
    made = site.registry.activities["total"] = Total()
    return made


@pytest.fixture(scope="module")
def analyst(site: Site) -> Browser:
    made = Browser(site)
    assert made.log_in("emil").status_int == 303
    return made


def array(site: Site, rows: int) -> str:
    def make(portal: Portal) -> str:
        made: Any = portal.new("Data Array", reference="numbers")
        made.create((0,), "<i8")
        made.append(np.arange(rows))
        return str(made.path)

    return site.transact(make)[0]


def begun(browser: Browser, path: str, step: str = "16") -> str:
    form = browser.form(f"/{path}/run?kind=total")
    form["in_parts"], form["size_of_parts"] = True, step
    return str(form.submit(status=303).headers["Location"]).partition("?")[0]


def run(site: Site) -> None:
    while not site.workers.run_next():
        pass


def cells(found: Any) -> list[str]:
    return [str(cell["class"][0]) for cell in found.html.select(".strip li")]


def test_it_is_begun_by_a_form_and_shows_its_parts_and_result(analyst: Browser, site: Site) -> None:
    path = array(site, 10)
    page = begun(analyst, path)
    found = analyst.get(page)
    assert "It begins as soon as a worker is free" in found and found.html.find(id="job").has_attr("hx-get")
    assert not found.html.select(".head button[value=validate]")
    run(site)
    found = analyst.get(page)
    assert "5 parts: 5 done" in found and cells(found) == ["done"] * 5
    assert found.html.find("a", string="numbers")["href"] == f"/{path}"
    facts = [tag.text for tag in found.html.select("#result ~ *, .bar ~ dl *")]
    assert "45" in " ".join(facts) or "[45]" in found
    rows = found.html.select("#parts ~ .table tbody tr")
    assert [row.select_one("[data-label='Of the source']").text for row in rows][:2] == ["0 to 2", "2 to 4"]
    activity = rows[1].a["href"]
    assert "Map part" in analyst.get(activity) and not found.html.find(id="job").has_attr("hx-get")


def test_failure_is_told_and_what_failed_is_retried(analyst: Browser, site: Site, kind: Total) -> None:
    page = begun(analyst, array(site, 20))
    run(site)
    found = analyst.get(page)
    assert "&lt;13&gt; brings no luck" in found and cells(found) == ["done"] * 6 + ["failed"] + ["done"] * 3
    assert analyst.get(found.html.find("a", string="The part that failed")["href"])
    kind.refuses = False
    analyst.send(f"{page}/retry")
    assert "Running" in analyst.get(page) or "running" in analyst.get(page)
    run(site)
    assert "10 parts: 10 done" in analyst.get(page)


def test_it_is_cancelled_deleted_and_left_alone_by_others(
    analyst: Browser, manager: Browser, viewer: Browser, site: Site
) -> None:
    page = begun(analyst, array(site, 20))
    assert "Cancel it" not in viewer.get(page) and "Cancel it" in manager.get(page)
    viewer.send(f"{page}/cancel", status=403)
    analyst.send(f"{page}/cancel")
    assert "It was cancelled" in analyst.get(page)
    analyst.send(f"{page}/transition", transition="delete")
    assert "deleted" in analyst.get(page)


def test_many_parts_are_shown_page_by_page(
    analyst: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "PER_PAGE", 8)
    monkeypatch.setattr(page_module, "CELLS", 5)
    page = begun(analyst, array(site, 13), "8")
    run(site)
    found = analyst.get(page)
    assert cells(found) == ["done"] * 5 and found.html.select(".strip li")[4]["title"] == "13: done"
    found = analyst.get(f"{page}{found.html.find('a', string='Further parts')['href'].partition('#')[0]}")
    rows = found.html.select("#parts ~ .table tbody tr")
    assert [row.select_one(".name").text for row in rows] == ["9", "10", "11", "12", "13"]
    assert "Further parts" not in found and "Parts before" in found
    assert analyst.get(f"{page}?first=999999").html.select("#parts ~ .table tbody tr")


def test_parts_are_left_out_of_the_list_of_activities(analyst: Browser, site: Site) -> None:
    page = begun(analyst, array(site, 10))
    run(site)
    path = page.strip("/")
    listed = analyst.get("/activities")
    assert "Map part" not in listed
    with_them = analyst.get(listed.html.find("a", string="with them")["href"])
    assert "Map part" in with_them
    own = analyst.get(f"/activities?path={path}")
    assert "Map part" in own and not own.html.select("td.tick input") and "Cancel all" not in own
    listed = analyst.get("/job_module")
    row = listed.html.find("a", href=page).find_parent("tr")
    assert [cell.text for cell in row.select("td")[1:5]] == ["total", array_of(site, path), "done", "100 %"]


def array_of(site: Site, path: str) -> str:
    with site.open() as portal:
        return str(portal[path].properties.source)  # type: ignore[attr-defined]
