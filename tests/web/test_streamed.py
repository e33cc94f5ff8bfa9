"""Large answers hold half of the threads at most, and give back what they hold."""

from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import pytest
from tests.web.conftest import PASSWORD
from webob import Request, Response

from haywain.portal import Portal, Site
from haywain.values import MIB
from haywain.web.streamed import WAITING_BYTES, Streamed

LOGIN = b64encode(f"viewer:{PASSWORD}".encode()).decode()


@pytest.fixture(params=["data", "slice"])
def url(request: pytest.FixtureRequest, site: Site, application: object) -> str:
    """An answer of a little more than is buffered."""

    def make(portal: Portal) -> str:
        if request.param == "slice":
            document = portal.new("Data Array")
            document.create((WAITING_BYTES + MIB,), "u1")
        else:
            document = portal.new("Data Stream")
            document.append(bytes(WAITING_BYTES + MIB))
        return str(document.path)

    return f"/{site.transact(make)[0]}/{request.param}"


def test_large_answers_leave_half_of_the_threads_to_others(
    application: Callable[..., Any], url: str, site: Site
) -> None:
    def ask(url: str, method: str = "GET") -> Response:
        request = Request.blank(url, method=method, headers={"Authorization": f"Basic {LOGIN}"})
        return request.get_response(application)

    with ExitStack() as opened:
        for _ in range(site.settings.threads // 2):
            response = ask(url)
            opened.enter_context(closing(response.app_iter))
            assert response.status_int == 200 and next(iter(response.app_iter))
        refused = ask(url)
        assert refused.status_int == 503 and "Too many large downloads" in refused.text
        assert ask(url, "HEAD").status_int == 200
        assert ask("/healthz").status_int == 200
    with closing(ask(url).app_iter) as body:
        assert sum(map(len, body)) >= WAITING_BYTES + MIB


def test_everything_held_is_let_go_however_it_ends() -> None:
    gone: list[str] = []
    with closing(
        Streamed({}, iter([b"a", memoryview(b"b")]), lambda: gone.append("1"), lambda: gone.append("2"))
    ) as body:
        assert list(body) == [b"a", b"b"] and not gone
    body.close()
    assert gone == ["2", "1"]
