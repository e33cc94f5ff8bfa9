"""A person at the portal: logs in, searches, hears, looks at bytes; by keyboard, too, and without scripts."""

import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect
from tests.functional.browser.conftest import log_in
from tests.functional.program import Client, Program, until

PAINTED = """canvas => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, place) => place % 4 === 3 && value > 0).length / data.length * 4;
}"""


def test_person_logs_in_finds_a_recording_and_hears_it(browser: Browser, portal: Program) -> None:
    context = browser.new_context(base_url=portal.url)
    page = context.new_page()
    page.goto("/data_stream_module")
    assert page.url == f"{portal.url}/login?came_from=/data_stream_module"
    page.get_by_label("Login").fill("admin")
    page.get_by_label("Password").fill("wrong password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("The user or the password is wrong")
    log_in(page, portal.url)
    page.keyboard.press("/")
    page.keyboard.type("turbine 6")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="turbine-6.wav").click()
    audio = page.locator("audio")
    until(lambda: audio.evaluate("audio => audio.duration") == 20, "its duration")
    audio.evaluate("audio => { audio.muted = true; return audio.play(); }")
    until(lambda: audio.evaluate("audio => audio.currentTime") > 0.2, "it to be heard")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    context.close()


def test_waveform_shows_the_recording_and_a_click_goes_there(page: Page, client: Client) -> None:
    page.goto("/" + client.search(reference="turbine-6.wav")["items"][0]["path"])
    canvas = page.locator("canvas[data-drawn]")
    canvas.wait_for()
    assert 0.05 < canvas.evaluate(PAINTED) < 0.95
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] / 4, "y": 20})
    audio = page.locator("audio")
    until(lambda: abs(audio.evaluate("audio => audio.currentTime") - 5) < 0.2, "the place clicked at")


def test_list_follows_what_is_typed_and_the_address_with_it(page: Page) -> None:
    page.goto("/data_stream_module")
    field = page.get_by_role("searchbox", name="Words, or a pattern")
    field.press_sequentially("%wav")
    expect(page.locator("td.name a")).to_have_count(6)
    expect(page).to_have_url("/data_stream_module?text=%25wav&state=")
    field.fill("mast")
    expect(page.locator("td.name a")).to_have_text(["mast-2.wind"])
    page.get_by_role("link", name="Size").click()
    expect(page).to_have_url("/data_stream_module?text=mast&sort=-size")


def test_bytes_are_paged_in_place(page: Page, client: Client) -> None:
    page.goto("/" + client.search(reference="mast-2.wind")["items"][0]["path"])
    page.evaluate("window.isSame = true")
    expect(page.locator("pre.bytes")).to_contain_text("2026-11-22T20:00:00Z north")
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".pager")).to_contain_text("Bytes 4,096 to 8,192")
    page.get_by_role("link", name="Hex").click()
    expect(page.locator("pre.bytes")).to_contain_text("00001000  ")
    page.get_by_label("From byte").fill("0x10")
    page.get_by_role("button", name="Go").click()
    expect(page.locator("pre.bytes")).to_contain_text("00000010  ")
    expect(page).to_have_url(re.compile(r"\?as=hex&offset=0x10$"))
    assert page.evaluate("window.isSame"), "the page was loaded anew"


def test_home_shows_what_arrives_without_being_loaded_anew(page: Page, client: Client) -> None:
    page.clock.install()
    page.goto("/")
    expect(page.locator("td.name a").first).not_to_have_text("arrived.now")
    client.ingest("arrived.now", b"1")
    page.clock.fast_forward(5000)
    expect(page.locator("td.name a").first).to_have_text("arrived.now")


def test_keyboard_skips_to_the_content(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_question_comes_before_what_cannot_be_undone(page: Page, client: Client) -> None:
    path = client.make("data_product_module", reference="to delete")["path"]
    page.goto(f"/{path}")
    questions: list[str] = []
    page.once("dialog", lambda dialog: (questions.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Delete").click()
    assert questions == ["Delete this? It will no longer be listed."]
    expect(page.locator("main .state")).to_have_text("draft")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("main .state")).to_have_text("deleted")


def test_secret_can_be_copied(page: Page, portal: Program) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=portal.url)
    page.goto("/token_module/new?scopes=read")
    page.get_by_label("Reference").fill("copied")
    page.get_by_role("button", name="Create").click()
    secret = page.locator(".copyable code").first.inner_text()
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret


def test_names_that_try_to_be_code_do_nothing(page: Page, client: Client) -> None:
    texts = ['"><img src=x onerror=alert(1)>', "</title><script>alert(1)</script>", "{{7*7}}"]
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    for text in texts:
        path = client.stream(text, text.encode())
        client("PATCH", f"/{path}", f'{{"title": {text!r}}}'.encode())
        client.ingest(text, text.encode())
        for where in (f"/{path}", f"/{path}/edit"):
            page.goto(where)
        expect(page.get_by_label("Reference")).to_have_value(text)
    for where in ("/", "/search", "/data_stream_module", "/quarantine_module"):
        page.goto(where)
    assert not asked


def test_all_works_without_scripts(
    browser: Browser, portal: Program, client: Client, session: Path, tmp_path: Path
) -> None:
    context = browser.new_context(base_url=portal.url, storage_state=session, java_script_enabled=False)
    page = context.new_page()
    page.goto("/data_stream_module/new")
    page.get_by_label("Reference").fill("plain.bin")
    page.get_by_role("button", name="Create").click()
    file = tmp_path / "plain.bin"
    file.write_bytes(b"by a plain form")
    page.get_by_label("Choose a file").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("status")).to_have_text("The file was appended.")
    expect(page.locator("pre.bytes")).to_have_text("by a plain form")
    page.get_by_role("searchbox", name="Search the portal").fill("plain")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="plain.bin").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes() == b"by a plain form"
    context.close()
