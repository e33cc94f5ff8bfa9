"""Names are data: nothing that anybody sends becomes part of a page; and what the headers allow."""

from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from tests.web.pages.conftest import Browser

from haywain.ingestion import Request, deliver
from haywain.portal import Portal, Site
from haywain.web.headers import CONTENT_SECURITY_POLICY
from haywain.workflow import WORKFLOWS

CORPUS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{7*7}}{% raw %}",
    "<!--<script>-->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "`${alert(1)}`",
    "<a href=javascript:alert(1)>",
    "\u202e<b onmouseover=alert(1)>",
)


class Scan(HTMLParser):
    """Collects what could run in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and not str(given.get("src", "")).startswith("/static/"):
            self.found.append("script")
        self.found += [name for name in given if name.startswith("on") or name == "style"]
        links = (str(given.get(name, "")) for name in ("href", "src", "action", "formaction"))
        self.found += [
            link for link in links if not link.startswith(("/", "?", "#", "")) or "script:" in link
        ]
        if tag in ("style", "iframe", "object", "embed", "base", "b"):
            self.found.append(tag)


@pytest.fixture(scope="module")
def hostile(site: Site) -> list[str]:
    """The addresses of documents that have the corpus everywhere."""

    def fill(portal: Portal) -> list[str]:
        found = []
        for text in CORPUS:
            said = {"reference": text, "title": text, "description": text}
            policy = portal.new(
                "Ingestion Policy", id=text.replace("/", "|").strip("\u202e"), **said | {"rule": text}
            )
            kept = portal.new("Quarantine", body=text.encode(), policy=policy.id, tag=text, reason=text,
                              reference=text, key=text, scope=text, headers=((text, text),))  # fmt: skip
            product = portal.new("Data Product", **said, unit=text)
            stream = portal.new("Data Stream", **said)
            stream.link("resource", product)
            stream.append(text.encode())
            WORKFLOWS["validation"].apply(stream, "validate", text, text)
            person = portal.new(
                "Person", reference=f"p{len(found)}", title=text, description=text, email=text
            )
            token = portal.new(
                "Token", login=str(person.reference), scopes=("read", f"ingest:{text}"), **said
            )
            found += [document.path for document in (policy, kept, product, stream, person, token)]
        return found

    paths, _ = site.transact(fill)
    for text in CORPUS:
        deliver(site, Request("default", text.encode(), text.encode()))
    return paths


def test_no_name_becomes_part_of_a_page(manager: Browser, hostile: list[str]) -> None:
    lists = ["/", "/search", *{f"/{path.partition('/')[0]}" for path in hostile}]
    pages = [f"/{quote(path)}" for path in hostile]
    forms = [f"{page}/edit" for page in pages if "quarantine" not in page]
    for where in [*lists, *pages, *forms]:
        assert not Scan(manager.get(where).text).found, where


@pytest.mark.parametrize("text", CORPUS, ids=range(len(CORPUS)))
def test_nothing_typed_becomes_part_of_a_page(manager: Browser, stranger: Browser, text: str) -> None:
    asked = [
        manager.get("/search", {"text": text, "kind": text, "state": text}),
        manager.get("/data_stream_module", {"sort": text}, status=400),
        manager.get("/data_stream_module/new", {"reference": text}),
        manager.get("/token_module/new", {"scopes": text}),
        manager.get("/nowhere/" + quote(text), status=404),
        manager.send("/data_stream_module/new", status=400, reference=text, content_type=text),
        manager.send("/person_module/new", status=400, reference=text + " ", password=text, roles=text),
        stranger.get("/login", {"came_from": text}),
        stranger.log_in(text, text),
    ]
    for page in asked:
        assert page.content_type == "text/html" and not Scan(page.text).found


def test_scan_would_see_it() -> None:
    assert Scan('<p style="x"><script>1</script><img onerror=1><a href="javascript:1">').found == [
        "style", "script", "onerror", "javascript:1",
    ]  # fmt: skip


def test_every_answer_has_the_headers(manager: Browser, stranger: Browser, paths: dict[str, str]) -> None:
    wav = paths["turbine-1.wav"]
    answers = [
        manager.get("/"),
        manager.get(f"/{wav}/peaks"),
        manager.get("/nowhere", status=404),
        stranger.get("/login"),
        stranger.get("/", status=303),
        stranger.get("/static/css/haywain.css"),
        manager.get(f"/{wav}", headers={"Accept": "application/json"}),
    ]
    for answer in answers:
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Strict-Transport-Security" not in answer.headers
    secure = stranger.get("/login", extra_environ={"wsgi.url_scheme": "https"})
    assert secure.headers["Strict-Transport-Security"].startswith("max-age=")


def test_policy_allows_no_inline_code_and_no_other_site() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY and "data:" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY and "default-src 'none'" in CONTENT_SECURITY_POLICY


def test_bytes_keep_their_own_policy(manager: Browser, paths: dict[str, str]) -> None:
    policy = manager.get(f"/{paths['turbine-1.wav']}/data").headers.getall("Content-Security-Policy")
    assert len(policy) == 1 and policy[0].startswith("sandbox")
