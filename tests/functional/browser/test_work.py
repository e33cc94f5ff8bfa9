"""From a recording to a plot and a picture: run work by a form, follow it, look at what it made."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect
from tests.functional.browser.test_appearance import STICKS_OUT, look
from tests.functional.program import PASSWORD, Client, Program, until

_TWO_RENEWALS = """() => new Promise(done => { let count = 0;
    document.addEventListener("htmx:before:request", event => {
        if (event.detail.ctx?.sourceElement?.id === "list" && ++count === 2) done(); }); })"""
PATIENCE_MS = 20_000
_TEXT_TOP = """one => { const range = document.createRange(); range.selectNodeContents(one);
    return range.getBoundingClientRect().top; }"""
_HEIGHT_IN_LINES = "one => one.getBoundingClientRect().height / parseFloat(getComputedStyle(one).lineHeight)"


def run(client: Client, path: str, method: str, **parameters: Any) -> dict[str, Any]:
    """Run work to its end; return what became of it."""
    body = json.dumps({"method": method, "parameters": parameters}).encode()
    url = client("POST", f"/{path}/activities", body, {"Content-Type": "application/json"}).json["url"]
    until(lambda: client("GET", url).json["state"] in ("done", "failed"), f"{method} to end")
    found: dict[str, Any] = client("GET", url).json
    return found


@pytest.fixture(scope="module")
def recording(client: Client) -> str:
    return str(client.search(reference="turbine-6.wav", portal_type="Data Stream")["items"][0]["path"])


@pytest.fixture(scope="module")
def array(client: Client, recording: str) -> str:
    return str(run(client, recording, "stream_to_array")["result"]["array"])


def test_form_leads_to_an_activity_that_shows_its_result_by_itself(page: Page, recording: str) -> None:
    page.goto(f"/{recording}")
    page.get_by_role("link", name="Compute the spectrum").click()
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".state")).to_have_text("done", timeout=PATIENCE_MS)
    expect(page.locator("[aria-labelledby=result] dl")).to_contain_text("660.0")
    picture = page.locator("figure img")
    until(lambda: picture.evaluate("img => img.naturalWidth") > 100, "the picture")
    look(page, "activity")
    page.get_by_role("link", name="turbine-6.wav spectrum").nth(1).click()
    until(lambda: page.locator("figure img").evaluate("img => img.naturalWidth") > 100, "the image")
    picture, words = page.locator("figure img").bounding_box(), page.locator("figcaption").evaluate(_TEXT_TOP)
    assert picture is not None and words - picture["y"] - picture["height"] >= 8
    expect(page.locator("dl.facts")).to_contain_text("Created")
    look(page, "image")


def test_plot_zooms_and_goes_back(page: Page, array: str) -> None:
    page.goto(f"/{array}")
    plot = page.locator("#plot")
    expect(plot).to_have_attribute("data-drawn", "0:960000")
    box = page.locator("#plot .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(plot).not_to_have_attribute("data-drawn", "0:960000")
    start, stop = map(int, (plot.get_attribute("data-drawn") or "").split(":"))
    assert 200_000 < start < 280_000 and 440_000 < stop < 520_000
    page.get_by_role("button", name="Whole length").click()
    expect(plot).to_have_attribute("data-drawn", "0:960000")
    page.get_by_label("Log scale").check()
    page.locator("#plot-columns input").first.uncheck()
    expect(page.locator("#plot .u-series:visible")).to_have_count(2)
    look(page, "data-array")


def test_slice_changes_the_grid_and_the_address(page: Page, array: str) -> None:
    page.goto(f"/{array}")
    page.get_by_label("Index").fill("1000:1003, 1")
    expect(page.locator("#slice tbody tr").last).to_be_visible()
    assert page.locator("#slice .grid-table").evaluate("one => one.scrollHeight <= one.clientHeight")
    page.get_by_role("button", name="Go").click()
    expect(page.locator("#slice tbody tr")).to_have_count(3)
    assert "index=1000" in page.url
    page.get_by_label("Index").fill("nonsense")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_role("alert")).to_contain_text("makes no sense")
    assert page.evaluate(STICKS_OUT) <= 0


def test_part_that_cannot_be_renewed_stays_and_says_why(page: Page, array: str, said: list[str]) -> None:
    page.goto(f"/{array}")
    page.get_by_label("Index").fill("9,")
    page.route("**/*index=9*", lambda route: route.fulfill(status=503, body=""))
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_role("alert")).to_contain_text("answers 503")
    expect(page.locator("#slice tbody tr")).to_have_count(25)
    page.route("**/*index=8*", lambda route: route.abort())
    page.get_by_label("Index").fill("8")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.get_by_label("Index").fill("0:3")
    page.get_by_role("button", name="Go").click()
    expect(page.locator("#slice tbody tr")).to_have_count(3)
    expect(page.get_by_role("alert")).to_have_count(0)
    said.clear()


def test_login_that_has_ended_leads_to_the_login(page: Page, portal: Program, array: str) -> None:
    page.goto(f"/{array}")
    page.locator("#plot[data-drawn]").wait_for()
    page.context.clear_cookies()
    page.get_by_role("button", name="Go").click()
    page.get_by_role("heading", name="Log in").wait_for()


def test_plot_leads_to_the_login_when_that_has_ended(page: Page, array: str, said: list[str]) -> None:
    page.goto(f"/{array}")
    page.locator("#plot[data-drawn]").wait_for()
    page.context.clear_cookies()
    page.get_by_label("Log scale").click()
    page.get_by_role("heading", name="Log in").wait_for()
    assert [one for one in said if "401" in one] == said
    said.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_switch_that_is_off_can_be_seen(page: Page, array: str, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"/{array}")
    track, thumb, edge = page.locator("#plot-log").evaluate(
        """one => [getComputedStyle(one).backgroundColor, getComputedStyle(one, "::before").backgroundColor,
                   getComputedStyle(one).borderTopColor]
                  .map(text => text.match(/[0-9]+/g).slice(0, 3).map(Number))"""
    )
    assert sum(abs(a - b) for a, b in zip(track, thumb, strict=True)) > 200 and edge == track


def test_command_is_not_broken_within_words(page: Page, array: str) -> None:
    page.goto(f"/{array}")
    assert page.locator(".copyable code").count() == 2
    for box in page.locator(".copyable code").all():
        lines = box.inner_text().count("\n") + 1
        assert round(box.evaluate(_HEIGHT_IN_LINES)) <= lines


def test_axis_is_as_wide_as_its_labels(page: Page, client: Client) -> None:
    path = client.stream(
        "steps.csv", b"small,large\n" + b"".join(b"%d,%d\n" % (n, n * 999_000) for n in range(9))
    )
    page.goto("/" + run(client, path, "stream_to_array")["result"]["array"])
    plot, area = page.locator("#plot[data-drawn]"), page.locator("#plot .u-over")
    expect(plot).to_be_visible()
    wide = area.evaluate("one => one.offsetLeft")
    page.get_by_label("large").uncheck()
    expect(page.locator("#plot .u-series:visible")).to_have_count(2)
    assert area.evaluate("one => one.offsetLeft") < wide - 20


def test_plot_names_the_column_that_there_is_not(page: Page, client: Client, said: list[str]) -> None:
    path = client.stream("wide.csv", b",".join(b"%d" % n for n in range(40)) + b"\n")
    page.goto("/" + run(client, path, "stream_to_array")["result"]["array"])
    more, note = page.get_by_label("Others, 16 (column 17) to 39 (column 40)"), page.locator("#plot-note")
    more.fill("9999")
    more.blur()
    expect(note).to_contain_text("there is no 9999; they are numbered from 0 to 39")
    more.fill("20, abc")
    more.blur()
    expect(note).to_contain_text("not 'abc'")
    said.clear()


def test_python_of_the_page_reads_the_array_as_it_is_pasted(
    page: Page, array: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page.goto(f"/{array}")
    code = page.get_by_label("In Python").inner_text()
    monkeypatch.setattr("getpass.getpass", lambda: PASSWORD)
    exec(code, {})
    assert capsys.readouterr().out.strip() == "(1000, 2) int16"


def test_failure_says_why_and_can_be_retried(page: Page, client: Client) -> None:
    path = client.stream("no.wav", b"this is no recording")
    failed = run(client, path, "spectrum")
    assert failed["state"] == "failed"
    page.goto("/activities?state=failed")
    tops = page.locator("form.row :is(select, input, button)").evaluate_all(
        """all => all.map(one => [one.getBoundingClientRect().top,
                                  getComputedStyle(one).borderTopLeftRadius].join())"""
    )
    assert len(tops) > 2 and len(set(tops)) == 1
    words = page.locator("td.word bdi:not(:empty)").evaluate_all(
        "all => all.map(one => one.getClientRects().length)"
    )
    assert words and set(words) == {1}
    look(page, "activities")
    page.get_by_role("link", name="Compute the spectrum").first.click()
    expect(page.locator(".notice.bad")).to_contain_text("byte 0")
    look(page, "activity-failed")
    page.get_by_role("button", name="Retry").click()
    page.wait_for_url("**/activities/*?done=retried")
    expect(page.locator(".state")).to_have_text("failed", timeout=PATIENCE_MS)


def test_viewer_is_offered_no_work(page: Page, portal: Program, array: str) -> None:
    page.context.clear_cookies()
    page.goto(f"{portal.url}/login")
    page.get_by_label("Login").fill("vera")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Home").wait_for()
    page.goto(f"/{array}")
    expect(page.locator("#plot")).to_have_attribute("data-drawn", "0:960000")
    expect(page.get_by_role("heading", name="Run")).to_have_count(0)


def test_what_is_ticked_stays_while_the_list_renews_itself(
    page: Page, client: Client, recording: str
) -> None:
    """One that waits for ever keeps the list renewing; the question comes on a page of its own."""
    body = {"method": "spectrum", "at": "2999-01-01T00:00:00Z", "tag": "never", "on_error": ""}
    for _ in range(3):
        json_body = json.dumps(body).encode()
        client("POST", f"/{recording}/activities", json_body, {"Content-Type": "application/json"})
    page.goto("/activities?tag=never")
    boxes = page.locator("#list input[type=checkbox]")
    with page.expect_response("**/activities?tag=never"):
        expect(boxes).to_have_count(3)
    boxes.first.check()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(_TWO_RENEWALS)
    assert not [url for url in asked if url.endswith("/activities?tag=never")]
    expect(boxes.first).to_be_checked()
    look(page, "activities")
    page.get_by_role("button", name="Cancel those ticked").click()
    expect(page.get_by_role("heading", name="Cancel 1 activity?")).to_be_visible()
    look(page, "activities-change")
    page.get_by_role("button", name="Cancel 1 activity").click()
    expect(page.get_by_role("status").first).to_contain_text("1 activity cancelled")
    expect(page.get_by_label("Tag")).to_have_value("never")
    page.get_by_role("button", name="Cancel all that match").click()
    page.get_by_role("button", name="Cancel 2 activities").click()
    expect(page.get_by_role("status").first).to_contain_text("2 activities cancelled")


def test_work_is_done_in_parts_by_a_form_and_shows_them_by_itself(page: Page, array: str) -> None:
    page.goto(f"/{array}/run?kind=statistics")
    page.get_by_label("In parts").check()
    page.get_by_label("Size of parts").fill("64 KiB")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".head .state")).to_have_text("done", timeout=PATIENCE_MS)
    expect(page.locator("#parts ~ .hint")).to_contain_text("59 done")
    expect(page.locator(".strip .done")).to_have_count(59)
    look(page, "job")
    page.get_by_role("link", name="Further parts").click()
    expect(page.locator("#parts ~ .table tbody tr")).to_have_count(20)
    page.goto("/job_module")
    expect(page.locator("tbody tr").first).to_contain_text("100 %")
    look(page, "jobs")


def test_model_tells_what_it_learnt(page: Page, client: Client, array: str) -> None:
    learnt = run(client, array, "train", estimator="minibatch_kmeans", test_share=0.1)["result"]
    page.goto(f"/{learnt['model']}")
    expect(page.locator("[aria-labelledby=sources]")).to_contain_text("turbine-6.wav")
    look(page, "model")


def test_schedule_is_made_and_run_by_its_pages(page: Page, recording: str) -> None:
    page.goto(f"/schedule_module/new?document={recording}&method=spectrum")
    page.get_by_label("Reference").fill("nightly spectrum")
    page.get_by_label("Rule").fill("30 6 * * MON-FRI")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("main")).to_contain_text("At 06:30 on Monday through Friday, Europe/Berlin")
    page.get_by_role("button", name="Validate").click()
    page.get_by_role("button", name="Run now").click()
    expect(page.locator(".state")).to_have_text("done", timeout=PATIENCE_MS)
    page.go_back()
    page.reload()
    expect(page.locator("#log ~ pre")).to_contain_text("queued")
    look(page, "schedule")


def test_alert_is_made_and_fires_and_cannot_send_into_the_own_network(
    page: Page, client: Client, said: list[str]
) -> None:
    stream = client.stream("bearing.csv", b"time,celsius\n2026-12-01T12:00:00Z,71.5\n")
    array = run(client, stream, "stream_to_array")["result"]["array"]
    page.goto(f"/alert_module/new?document={array}")
    page.get_by_label("Title").fill("Bearing too hot")
    page.get_by_label("Threshold").fill("80")
    page.get_by_label("Clear").fill("75")
    page.get_by_label("Webhook").fill("http://127.0.0.1:9/")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("127.0.0.1 is an address of this network")
    said.clear()
    page.get_by_label("Webhook").fill("https://no-such-host.invalid/hook")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Validate").click()
    expect(page.locator("main")).to_contain_text("above 80, until at most 75")
    more = b"2026-12-01T12:00:10Z,79.9\n2026-12-01T12:00:20Z,81.25\n"
    assert client("POST", f"/{stream}/data", more).status == 200
    assert run(client, stream, "stream_to_array")["state"] == "done"
    alert, as_json = urlsplit(page.url).path, {"Accept": "application/json"}
    until(lambda: client("GET", alert, None, as_json).json["condition"] == "firing", "it to fire")
    page.reload()
    expect(page.locator(".facts .state")).to_have_text("firing")
    expect(page.locator("main")).to_contain_text("81.25 in row 2")
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("status").first).to_contain_text("A test is on its way")
    look(page, "alert")
    page.goto("/alert_module")
    look(page, "alerts-firing")


def test_recipe_is_made_by_its_pages_and_worked_on_by_itself(page: Page, client: Client) -> None:
    products = [client.make("data_product_module", reference=name)["path"] for name in ("gusts", "gust rows")]
    said = {"kind": "stream_to_array", "parameters": '{"format": "raw", "dtype": "<f4"}'}
    operation = client.make("data_operation_module", reference="raw to rows", **said)["path"]
    page.goto(f"/data_transformation_module/new?operation={operation}")
    page.get_by_label("Reference").fill("gusts to rows")
    page.get_by_role("button", name="Create").click()
    recipe = urlsplit(page.url).path
    for direction, product in zip(("in", "out"), products, strict=True):
        page.goto(recipe)
        page.get_by_role("link", name="Add a line").click()
        page.get_by_label("Direction").select_option(direction)
        page.get_by_label("Resource").fill(product)
        page.get_by_role("button", name="Create").click()
    page.goto(recipe)
    page.get_by_role("button", name="Validate").click()
    assert client.ingest("mast-9.gusts", bytes(4000)).is_stored
    until(lambda: client.search(portal_type="Data Analysis")["items"], "the Data Analysis")
    path = client.search(portal_type="Data Analysis")["items"][0]["path"]
    until(lambda: client("GET", f"/{path}", None, {"Accept": "application/json"}).json["result"], "a run")
    page.goto(recipe)
    expect(page.locator("tbody")).to_contain_text("4,000 of 4,000 bytes")
    look(page, "data-transformation")
    page.get_by_role("link", name="mast-9.gusts gusts to rows").click()
    expect(page.locator("#makes ~ dl")).to_contain_text("gust rows (1,000)")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_role("status").first).to_contain_text("It is queued")
    look(page, "data-analysis")
    page.goto("/data_analysis_module")
    look(page, "data-analyses")
