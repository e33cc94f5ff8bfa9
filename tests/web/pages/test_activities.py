"""The pages of activities: run something by a form, see how it went, run it again."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import Field
from tests.web.pages.conftest import Browser

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.errors import InvalidError
from haywain.portal import Site


class CountParameters(NoParameters):
    """What Count takes."""

    letter: str = Field("a", max_length=1, description="Which letter.")
    case: Literal["lower", "both"] = Field("lower", description="Whether capitals count.")
    rate: float = Field(1.0, gt=0, description="By how much.")


class Count(Kind):
    """Counts a letter, and fails where there is none."""

    name, title, portal_types = "count", "Count letters", ("Data Stream",)
    parameters = CountParameters

    def run(self, work: Work) -> Iterator[float]:
        document: Any = work.document
        given: Any = work.parameters
        work.log(f"looking for {given.letter}")
        yield 0.5
        found = document.read().count(given.letter.encode())
        if not found:
            raise InvalidError(f"There is no <{given.letter}> in any of {document.size} bytes")
        return {"count": found, "stream": document.path}


@pytest.fixture(scope="module", autouse=True)
def counting(site: Site) -> None:
    """Let streams be counted; the queue is run by the tests."""
    site.registry.activities["count"] = Count()


@pytest.fixture(scope="module")
def editor(site: Site) -> Browser:
    made = Browser(site)
    assert made.log_in("emil").status_int == 303
    return made


def run(site: Site) -> None:
    """Run all that waits."""
    while site.workers.run_next() == 0:
        continue


def started(browser: Browser, path: str, **fields: Any) -> str:
    form = browser.form(f"/{path}/run?kind=count")
    for name, value in fields.items():
        form[name] = value
    answer = form.submit(status=303)
    return str(answer.headers["Location"]).partition("?")[0]


def test_form_queues_it_and_the_page_follows_it(editor: Browser, site: Site, paths: dict[str, str]) -> None:
    log = paths["weather.log"]
    assert f"/{log}/run?kind=count" in editor.get(f"/{log}").text
    page = started(editor, log, letter="r", case="both", rate="0.5")
    assert "It runs as soon as a worker is free" in editor.get(page) and "every 1s" in editor.get(page)
    run(site)
    found = editor.get(page)
    assert "2000" in found and "looking for r" in found and "every 1s" not in found
    assert found.html.find("a", string="weather.log")["href"] == f"/{log}"
    assert ("Retry" in found.text, "Cancel it" in found.text) == (False, False)


def test_failure_tells_why_and_can_be_retried(editor: Browser, site: Site, paths: dict[str, str]) -> None:
    page = started(editor, paths["weather.log"], letter="Q")
    run(site)
    found = editor.get(page)
    assert "There is no &lt;Q&gt; in any of 22000 bytes" in found and "Why it failed" in found
    editor.send(f"{page}/retry")
    assert "queued" in editor.get(page)
    editor.send(f"{page}/cancel")
    assert "cancelled" in editor.get(page).html.find("span", "state")["class"]
    editor.send(f"{page}/retry", letter="ignored")
    run(site)
    assert "failed" in editor.get(page).html.find("span", "state")["class"]
    assert editor.send(f"{page}/retry") and editor.send(f"{page}/retry", status=409)
    run(site)


def test_list_filters(editor: Browser, site: Site, paths: dict[str, str]) -> None:
    started(editor, paths["weather.log"], letter="r")
    started(editor, paths["weather.log"], letter="Q")
    run(site)
    every, failed = editor.get("/activities"), editor.get("/activities?state=failed")
    assert "Count letters" in every and "weather.log" in every
    states = {span.text for span in failed.html.tbody.find_all("span", "state")}
    assert states == {"failed"} and len(every.html.tbody.find_all("tr")) > len(
        failed.html.tbody.find_all("tr")
    )
    assert "Nothing matches" in editor.get("/activities?tag=nobody")
    assert "There is no state" in editor.get("/activities?state=asleep", status=400)
    assert "cursor is the" in editor.get("/activities?cursor=zzz", status=400)


def test_wrong_parameters_stand_beside_their_fields(editor: Browser, paths: dict[str, str]) -> None:
    form = editor.form(f"/{paths['weather.log']}/run?kind=count")
    form["rate"] = "-1"
    found = form.submit(status=400)
    assert "greater than 0" in found and found.html.find("input", {"name": "rate"})["aria-invalid"] == "true"
    assert [option.text for option in found.html.find("select", {"name": "case"}).find_all("option")] == [
        "lower",
        "both",
    ]


def test_who_may_not_run_is_offered_nothing(viewer: Browser, editor: Browser, paths: dict[str, str]) -> None:
    log = paths["weather.log"]
    assert "/run?kind=" not in viewer.get(f"/{log}").text
    viewer.get(f"/{log}/run?kind=count", status=403)
    viewer.get(started(editor, log), status=404)
    assert "Nothing has run yet" in viewer.get("/activities")


def test_unknown_work_and_activity(editor: Browser, paths: dict[str, str]) -> None:
    editor.get(f"/{paths['weather.log']}/run?kind=explode", status=404)
    editor.get("/activities/0000000000000000", status=404)
