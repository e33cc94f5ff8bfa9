"""Chromium before a running portal with sample data; what its console says is an error."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright
from tests.functional.program import PASSWORD, Client, Program

from haywain.agent.turbine import recordings

WIDE, NARROW = 1280, 390
ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def portal() -> Iterator[Program]:
    """A program with six recordings, a log, a request in quarantine, a person and a token.

    Each file has its own: what one makes, another would find.
    """
    folder = Path(tempfile.mkdtemp(prefix="haywain-test-"))
    with Program(folder / "var") as running:
        client = running.client()
        fill(client)
        client.close()
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log, running.log
    shutil.rmtree(folder)


def fill(client: Client) -> None:
    for tag, body in recordings():
        assert client.ingest(tag, body).is_stored
    lines = (f"2026-11-22T20:{i // 60 % 60:02d}:{i % 60:02d}Z north {7 + i % 13} m/s\n" for i in range(3600))
    assert client.ingest("mast-2.wind", "".join(lines).encode()).is_stored
    assert client.ingest("../turbine-7", b"\x93NUMPY").headers["Ingest-Status"] == "quarantined"
    client.make("person_module", reference="vera", title="Vera Voss", roles=["Viewer"], password=PASSWORD)
    client.make("token_module", reference="gateway", login="admin", scopes=["ingest:default"])


@pytest.fixture(scope="module")
def client(portal: Program) -> Iterator[Client]:
    made = portal.client()
    yield made
    made.close()


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


def log_in(page: Page, url: str, login: str = "admin") -> None:
    page.goto(f"{url}/login")
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Home").wait_for()


@pytest.fixture(scope="module")
def session(browser: Browser, portal: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cookies of a logged-in browser."""
    kept = tmp_path_factory.mktemp("session") / "state.json"
    context = browser.new_context()
    log_in(context.new_page(), portal.url)
    context.storage_state(path=kept)
    context.close()
    return kept


@pytest.fixture
def context(browser: Browser, session: Path, portal: Program) -> Iterator[BrowserContext]:
    made = browser.new_context(
        base_url=portal.url,
        storage_state=session,
        viewport={"width": WIDE, "height": 900},
        color_scheme="light",
        reduced_motion="reduce",
    )
    made.set_default_timeout(10_000)
    yield made
    made.close()


@pytest.fixture
def said() -> list[str]:
    """What the console said against us: errors, warnings, violations of the security policy."""
    return []


@pytest.fixture
def page(context: BrowserContext, said: list[str]) -> Iterator[Page]:
    """A page of a Manager; nothing may go wrong in it, and nothing may ask."""
    made = context.new_page()
    listen(made, said)
    yield made
    assert not said, said


def listen(page: Page, said: list[str]) -> None:
    """Note what the console says, where it comes from, and why a request failed."""

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            said.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    page.on("console", note)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("response", lambda r: said.append(f"{r.status} {r.url}") if r.status >= 500 else None)
