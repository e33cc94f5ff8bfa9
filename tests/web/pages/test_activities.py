"""The pages of activities: run something by a form, see how it went, run it again."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import Field
from tests.web.pages.conftest import Browser

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.activity.outbox import Outbox
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal import Portal, Site

COLUMNS = [
    {
        "name": "left",
        "nan_count": 1,
        "mean": 1 / 3,
        "histogram": {"counts": [1, 0, 3]},
        "quantiles": {"0.5": 2},
    },
    {"name": "<b>", "nan_count": 0, "mean": None, "histogram": {"counts": []}, "quantiles": {"0.5": None}},
]


class CountParameters(NoParameters):
    """What Count takes."""

    letter: str = Field("a", max_length=1, description="Which letter.")
    case: Literal["lower", "both"] = Field("lower", description="Whether capitals count.")
    rate: float = Field(1.0, gt=0, description="By how much.")
    times: int = Field(1, ge=1, le=9, title="How often", description="How often it counts.")
    no_less: bool = Field(False, title="Take any number", description="Whether none is fine too.")


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
        if not found and not given.no_less:
            raise InvalidError(
                f"There is no <{given.letter}> in any of {document.size} bytes; set no_less to take that"
            )
        return {"count": found, "stream": document.path, "columns": COLUMNS}

    def suits(self, document: Document) -> str:
        return "" if document.size else "There is not a letter"


class Note(Kind):
    """Takes what is told of a failure."""

    class _Parameters(NoParameters):
        activity: str
        error: str

    name, title, portal_types, parameters = "note", "Note", ("Data Stream",), _Parameters

    def run(self, work: Work) -> Iterator[float]:
        yield 1.0


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
    assert "2,000" in found and "looking for r" in found and "every 1s" not in found
    assert found.html.find("a", string="weather.log")["href"] == f"/{log}"
    assert ("Retry" in found.text, "Cancel it" in found.text) == (False, False)


def test_activity_that_waits_for_a_time_says_it_as_people_read_it(
    manager: Browser, site: Site, paths: dict[str, str]
) -> None:
    def later(portal: Portal) -> str:
        return str(portal[paths["weather.log"]].activate(at="2099-01-01T00:00:00Z").count(letter="r").id)

    id, _ = site.transact(later)
    for page in ("/activities?state=queued", f"/activities/{id}"):
        assert "waits for 2099-01-01 00:00:00 UTC" in manager.get(page)
    manager.send(f"/activities/{id}/cancel")


def test_failure_tells_why_and_can_be_retried(editor: Browser, site: Site, paths: dict[str, str]) -> None:
    page = started(editor, paths["weather.log"], letter="Q")
    run(site)
    found = editor.get(page)
    assert "There is no &lt;Q&gt; in any of 22000 bytes" in found and "Why it failed" in found
    assert "set “Take any number” to take that" in found
    retried = editor.send(f"{page}/retry").follow()
    assert "queued" in retried and "It is queued once more." in retried
    editor.send(f"{page}/cancel")
    found = editor.get(f"{page}?done=retried")
    assert "cancelled" in found.html.find("span", "state")["class"] and "It was cancelled" in found
    assert "once more" not in found
    editor.send(f"{page}/retry", letter="ignored")
    run(site)
    assert "failed" in editor.get(page).html.find("span", "state")["class"]
    assert editor.send(f"{page}/retry") and editor.send(f"{page}/retry", status=409)
    run(site)


def test_result_that_lists_columns_is_a_table(editor: Browser, site: Site, paths: dict[str, str]) -> None:
    page = started(editor, paths["weather.log"], letter="r")
    run(site)
    found = editor.get(page).html
    table = found.find("table")
    heads = [[cell.text for cell in row.find_all("th")] for row in table.thead.find_all("tr")]
    assert heads == [["Name", "NaN count", "Mean", "Histogram", "Quantiles"], ["0.5"]]
    rows = [[cell.text for cell in row.find_all(["th", "td"])] for row in table.tbody.find_all("tr")]
    assert rows == [["left", "1", "0.333333", "", "2"], ["<b>", "0", "", "", ""]]
    assert [path["d"] for path in table.find_all("path")] == ["M0 24V16H32V24H64V0H96V24Z"]
    assert found.find("a", string="as JSON")["href"] == f"/api/v1{page}" and "style" not in table.svg.attrs


def test_ended_activity_can_be_changed_and_run_again(
    editor: Browser, site: Site, paths: dict[str, str]
) -> None:
    page = started(editor, paths["weather.log"], letter="Q", case="both", rate="0.5", no_less=False)
    assert "Change and run again" not in editor.get(page)
    run(site)
    form = editor.form(editor.get(page).html.select_one(".head .actions a")["href"])
    assert (form["letter"].value, form["case"].value, form["rate"].value) == ("Q", "both", "0.5")
    form["no_less"] = True
    again = form.submit(status=303).headers["Location"].partition("?")[0]
    run(site)
    assert "done" in editor.get(again).html.find("span", "state")["class"]


def test_running_activity_that_is_cancelled_is_stopping(
    editor: Browser, site: Site, paths: dict[str, str]
) -> None:
    page = started(editor, paths["weather.log"])

    def claim(portal: Portal) -> None:
        outbox = Outbox.of(portal.root)
        record = outbox.find(page.rpartition("/")[2])
        assert record is not None
        outbox.claim(record, "another process")

    site.transact(claim)
    editor.send(f"{page}/cancel")
    for where in (page, "/activities"):
        assert editor.get(where).html.find("span", "stopping").text == "stopping"
    assert "It ends at its next step" in editor.get(page)


def test_work_that_cannot_be_done_is_shown_with_its_reason(manager: Browser, site: Site) -> None:
    path, _ = site.transact(lambda portal: str(portal.new("Data Stream", reference="empty").path))
    items = manager.get(f"/{path}").html.find("ul", "runs").find_all("li")
    (item,) = [item for item in items if "Count letters" in item.text]
    assert item.button.has_attr("disabled") and item.small.text == "There is not a letter."


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
    assert form.fields["rate"][0].attrs["step"] == "any" and "min" not in form.fields["rate"][0].attrs
    form["rate"], form["letter"], form["times"] = "-1", "ab", "many"
    found = form.submit(status=400)
    assert found.html.find("input", {"name": "rate"})["aria-invalid"] == "true"
    assert [span.text for span in found.html.find_all("span", "wrong")] == [
        "This must have at most 1 characters.",
        "This must be more than 0.",
        "This must be a whole number.",
    ]
    assert "Nothing was started; see below." in found
    times = found.html.find("input", {"name": "times"})
    assert (times["step"], times["min"], times["max"]) == ("1", "1", "9")
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


def ticked(editor: Browser, where: str, *ids: str) -> Any:
    """Return the form of the list, with the boxes of these ticked."""
    form = next(form for form in editor.get(where).forms.values() if form.action == "/activities/change")
    for box in form.fields["id"]:
        box.checked = box._value in ids
    return form


def yes(page: Any) -> Any:
    """Say yes on the page that asks; return the list it leads back to."""
    form = next(form for form in page.forms.values() if form.action == "/activities/change")
    return form.submit(status=303).follow()


def test_those_ticked_are_changed_after_a_question(editor: Browser, paths: dict[str, str]) -> None:
    pages = [started(editor, paths["weather.log"], letter="r") for _ in range(3)]
    ids = [page.rpartition("/")[2] for page in pages]
    asked = ticked(editor, "/activities?state=queued&method=count", *ids[:2]).submit("change", index=1)
    assert asked.html.h1.text == "Cancel 2 activities?" and "Those that were ticked" in asked
    assert [editor.get(page).html.find("span", "state").text for page in pages] == ["queued"] * 3
    found = yes(asked)
    assert "2 activities cancelled, or ending" in found.text
    assert "state=queued" in found.request.url and "method=count" in found.request.url
    states = [editor.get(page).html.find("span", "state").text for page in pages]
    assert states == ["cancelled", "cancelled", "queued"]
    again = yes(ticked(editor, "/activities?method=count", *ids).submit("change", index=0))
    assert "2 activities queued once more. 1 activity could not be" in again.text
    nothing = ticked(editor, "/activities").submit("change", index=0).follow()
    assert "0 activities queued once more" in nothing.text


def test_all_that_match_are_changed_after_a_question(
    editor: Browser, site: Site, paths: dict[str, str]
) -> None:
    run(site)
    log, other = paths["weather.log"], paths["turbine-1.wav"]
    pages = [started(editor, path, letter="r") for path in (log, other, other)]
    asked = ticked(editor, f"/activities?path={other}").submit("change", index=3)
    assert asked.html.h1.text == "Cancel 2 activities?" and other in asked
    yes(asked)
    states = [editor.get(page).html.find("span", "state").text for page in pages]
    assert states == ["queued", "cancelled", "cancelled"]


def test_change_that_is_none_is_refused(editor: Browser) -> None:
    editor.send("/activities/change", status=400, change="explode all")


def test_viewer_ticks_nothing_and_only_managers_choose_users(
    viewer: Browser, editor: Browser, manager: Browser
) -> None:
    assert viewer.get("/activities").html.find("input", {"name": "id"}) is None
    assert editor.get("/activities").html.find("input", {"name": "user"}) is None
    assert manager.get("/activities?user=emil").html.find("input", {"name": "user"})["value"] == "emil"
    viewer.send("/activities/change", status=403, change="cancel all", confirmed="yes")


def test_follow_up_is_linked(editor: Browser, manager: Browser, site: Site, paths: dict[str, str]) -> None:
    def fail(portal: Portal) -> str:
        made = portal[paths["weather.log"]].activate(on_error="note", group="g").count(letter="Q")
        return str(made.id)

    site.registry.activities["note"] = Note()
    id, _ = site.transact(fail)
    run(site)
    facts = manager.get(f"/activities/{id}").html.find("section", {"aria-labelledby": "facts"})
    following = facts.find("a", string="note")["href"]
    assert "done" in manager.get(following).html.find("span", "state")["class"]
    assert "Group" in facts.text
