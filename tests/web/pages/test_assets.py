"""Static files: what is vendored is what was published, what is sent is small and kept."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest
from tests.web.pages.conftest import Browser
from webob import Request

from haywain.web.pages.assets import FOLDER

VENDORED = [FOLDER / "vendor", Path(__file__).parents[2] / "functional" / "vendor"]
FIRST_PAGE_BYTES = 40_000


@pytest.mark.parametrize("folder", VENDORED, ids=["portal", "tests"])
def test_vendored_files_are_those_published(folder: Path) -> None:
    """VENDOR has a line `sha256  path` for each file, in the format of sha256sum."""
    lines = (folder / "VENDOR").read_text(encoding="utf-8").splitlines()
    listed = {
        name: digest for digest, name in (line.split("  ") for line in lines if not line.startswith("#"))
    }
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "VENDOR"]
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    assert found == listed


def test_every_library_has_its_version_and_licence() -> None:
    for folder in (path for root in VENDORED for path in root.iterdir() if path.is_dir()):
        assert re.search(r"-\d+\.\d+\.\d+$", folder.name)
        assert (folder / "LICENSE").stat().st_size > 200


def linked(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/static/[^"]+)"', page)


def test_everything_a_page_links_to_exists(viewer: Browser, paths: dict[str, str]) -> None:
    where = ["/", "/search", f"/{paths['turbine-1.wav']}", "/portal_ingestion_policies/default"]
    styles = viewer.get("/static/css/haywain.css").text
    found = {link for one in where for link in linked(viewer.get(one).text)}
    found |= set(re.findall(r'url\("((?!data:)[^"]+)"\)', styles))
    assert len(found) > 5
    icons = viewer.get("/static/img/icons.svg").text
    for link in found:
        viewer.get(link.partition("#")[0], status=200)
        assert "#" not in link or f'id="{link.partition("#")[2]}"' in icons


def packed(browser: Browser, link: str) -> bytes:
    """Return a file as it is sent to who takes gzip; WebTest would unpack it."""
    answer = Request.blank(link, headers={"Accept-Encoding": "gzip"}).get_response(browser.app)
    assert answer.content_encoding == "gzip" and answer.vary == ("Accept-Encoding",)
    return bytes(answer.body)


@pytest.mark.parametrize("where", ["/login", "/"])
def test_first_page_is_small(viewer: Browser, where: str) -> None:
    page = viewer.get(where)
    links = {link.partition("#")[0] for link in linked(page.text)}
    total = len(gzip.compress(page.body)) + sum(len(packed(viewer, link)) for link in links)
    assert total < FIRST_PAGE_BYTES, f"{total} bytes"


def test_named_version_is_kept_for_a_year_and_another_is_not(stranger: Browser) -> None:
    link = next(link for link in linked(stranger.get("/login").text) if "haywain.css" in link)
    assert "immutable" in stranger.get(link).headers["Cache-Control"]
    assert "immutable" not in stranger.get(link.partition("?")[0] + "?v=0").headers["Cache-Control"]


def test_unchanged_file_is_not_sent_again(stranger: Browser) -> None:
    first = stranger.get("/static/js/haywain.js")
    again = stranger.get("/static/js/haywain.js", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_int == 304 and not again.body


@pytest.mark.parametrize(
    "where", ["/static/", "/static/nothing.js", "/static/../layout.jinja2", "/static/%2e%2e/layout.jinja2"]
)
def test_nothing_else_is_given_out(stranger: Browser, where: str) -> None:
    assert stranger.get(where, status="*").status_int in (303, 404)


def test_player_and_uploader_are_loaded_where_they_are_used_only(
    manager: Browser, viewer: Browser, paths: dict[str, str]
) -> None:
    assert not any("tus" in link or "player" in link for link in linked(manager.get("/").text))
    assert any("tus" in link for link in linked(manager.get(f"/{paths['weather.log']}").text))
    assert not any("tus" in link for link in linked(viewer.get(f"/{paths['weather.log']}").text))
