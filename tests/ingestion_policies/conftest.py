"""Send to a rule's own policy, and look at what became of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from haywain.ingestion import Request, deliver
from haywain.portal import Portal, Site
from haywain.values import Receipt

Send = Callable[..., Receipt]
Sink = Callable[[str], Any]


@pytest.fixture
def send(site: Site, request: pytest.FixtureRequest) -> Send:
    """Call it with tag, body and content type; it goes to the rule that the test's file is named after."""
    rule = request.path.stem.removeprefix("test_")

    def send(
        tag: str, body: bytes, content_type: str = "application/octet-stream", **options: Any
    ) -> Receipt:
        return deliver(site, Request(rule, tag.encode(), body, content_type, **options))

    return send


@pytest.fixture
def reading(site: Site) -> Iterator[Portal]:
    """A portal to look into; `refresh` it to see what came since."""
    with site.open() as portal:
        yield portal


@pytest.fixture
def document_at(reading: Portal) -> Sink:
    """Call it with a path for the document as it is now."""

    def document_at(path: str) -> Any:
        reading.abort()
        return reading[path]

    return document_at
