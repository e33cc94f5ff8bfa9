"""Files from a browser: appended, replacing, several, and whole after every kind of cut."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect
from tests.functional.browser.conftest import listen, log_in
from tests.functional.program import Client, Make, Program, until

from haywain.values import MIB

LARGE = 32 * MIB  # the socket takes some MiB ahead of the throttle: far less than this
SPEED = {"offline": False, "latency": 0, "downloadThroughput": -1}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "large.bin"
    path.write_bytes(random.Random(7).randbytes(LARGE))
    return path


def same(client: Client, path: str, file: Path) -> bool:
    return hashlib.sha256(client.data(path)).digest() == hashlib.sha256(file.read_bytes()).digest()


def throttle(page: Page) -> Callable[..., object]:
    """Send 4 MiB/s from now on, so that there is a middle; return what ends that (`offline=True`: a cut)."""
    network = page.context.new_cdp_session(page)
    network.send("Network.emulateNetworkConditions", SPEED | {"uploadThroughput": 4 * MIB})

    def end(offline: bool = False) -> None:
        network.send("Network.emulateNetworkConditions", SPEED | {"uploadThroughput": -1, "offline": offline})

    return end


def wait_for_the_middle(page: Page) -> None:
    bar = page.locator(".queue progress")
    until(lambda: 0.1 < bar.evaluate("bar => bar.value / bar.max") < 1, "the middle of the upload")


def test_file_is_appended_and_shown(page: Page, client: Client, tmp_path: Path) -> None:
    path = client.stream("appended.txt", b"first\n")
    second = tmp_path / "second.txt"
    second.write_bytes(b"second\n")
    third = tmp_path / "third.txt"
    third.write_bytes(b"third\n")
    page.goto(f"/{path}")
    page.get_by_label("Choose a file").set_input_files([second, third])
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("status")).to_have_text("The file was appended.")
    expect(page.locator("pre.bytes")).to_have_text("first second third")
    assert client.data(path) == b"first\nsecond\nthird\n"


def test_dropped_file_replaces_the_bytes(page: Page, client: Client) -> None:
    path = client.stream("replaced.txt", b"the old bytes")
    page.goto(f"/{path}")
    page.get_by_label("Replace them").check()
    dropped = page.evaluate_handle(
        """() => { const data = new DataTransfer();
                   data.items.add(new File(["the new ones"], "new.txt")); return data; }"""
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": dropped})
    expect(page.get_by_role("status")).to_have_text("The bytes were replaced.")
    assert client.data(path) == b"the new ones"


def test_several_files_cannot_replace(page: Page, client: Client, tmp_path: Path) -> None:
    path = client.stream("kept.txt", b"kept")
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_bytes(b"x")
    page.goto(f"/{path}")
    page.get_by_label("Replace them").check()
    page.get_by_label("Choose a file").set_input_files(files)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("One file replaces the bytes")
    assert client.data(path) == b"kept"


def test_cancelled_upload_leaves_nothing(page: Page, client: Client, large: Path) -> None:
    path = client.stream("cancelled.bin", b"untouched")
    page.goto(f"/{path}")
    throttle(page)
    page.get_by_label("Choose a file").set_input_files(large)
    page.get_by_role("button", name="Upload").click()
    wait_for_the_middle(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".queue li")).to_have_count(0)
    page.reload()
    expect(page.locator("main")).not_to_contain_text("Not finished")
    assert client.data(path) == b"untouched"


def test_upload_goes_on_after_the_tab_was_closed(
    context: BrowserContext, client: Client, large: Path, said: list[str]
) -> None:
    path = client.stream("closed-tab.bin")
    first = context.new_page()
    first.goto(f"/{path}")
    end = throttle(first)
    first.get_by_label("Choose a file").set_input_files(large)
    first.get_by_role("button", name="Upload").click()
    wait_for_the_middle(first)
    expect(first.locator(".queue small")).to_contain_text("/s ")
    expect(first.locator(".queue small")).to_contain_text("left")
    end(offline=True)  # a tab that closes lifts the throttle first, and the rest might still go out
    first.close()
    assert client.data(path) == b""
    page = context.new_page()
    listen(page, said)
    offsets: list[int] = []
    page.on("request", lambda request: note_offset(request, offsets))
    page.goto(f"/{path}")
    expect(page.locator(".queue")).to_contain_text("large.bin")
    expect(page.locator(".queue")).to_contain_text("Not finished (32.0 MiB)")
    page.get_by_label("Choose a file").set_input_files(large)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("status")).to_have_text("The file was appended.")
    assert len(offsets) <= 1 and all(0 < offset < LARGE for offset in offsets)  # none: all had gone out
    assert same(client, path, large) and not said


def note_offset(request: Request, offsets: list[int]) -> None:
    if request.method == "PATCH":
        offsets.append(int(request.headers["upload-offset"]))


def test_upload_goes_on_after_the_server_was_killed(context: BrowserContext, make: Make, large: Path) -> None:
    program = make()
    with program.start() as running:
        port = int(running.url.rpartition(":")[2])
        path = running.client().stream("killed.bin", b"before ")
        page = context.new_page()
        log_in(page, running.url)
        page.goto(f"{running.url}/{path}")
        hurry = throttle(page)
        page.get_by_label("Choose a file").set_input_files(large)
        page.get_by_role("button", name="Upload").click()
        wait_for_the_middle(page)
        running.kill()
        expect(page.locator(".queue small")).to_have_text("The connection was cut; trying again.")
        hurry()
        running.start(port)
        expect(page.get_by_role("status")).to_have_text("The file was appended.", timeout=20_000)
        assert running.client().data(path) == b"before " + large.read_bytes()


def test_viewer_is_offered_no_upload(context: BrowserContext, portal: Program, client: Client) -> None:
    path = client.stream("only.look", b"1")
    context.clear_cookies()
    page = context.new_page()
    log_in(page, portal.url, "vera")
    page.goto(f"/{path}")
    expect(page.locator("pre.bytes")).to_have_text("1")
    expect(page.locator("input[type=file]")).to_have_count(0)
