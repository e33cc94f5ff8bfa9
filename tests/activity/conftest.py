"""Kinds of work for the tests, on Data Streams; and a site that knows them."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import Field

from haywain.activity.guard import Guard
from haywain.activity.kind import Kind, NoParameters, Work
from haywain.activity.outbox import Outbox
from haywain.activity.record import Activity
from haywain.activity.runner import Run
from haywain.app import open_site
from haywain.document import Document
from haywain.portal import Portal, Site
from haywain.settings import load
from haywain.values import GIB

T = TypeVar("T")
Make = Callable[..., Site]


def until(found: Callable[[], T], what: str, within_s: float = 20) -> T:
    """Return what is found, once that is true; fail after a deadline."""
    deadline = time.monotonic() + within_s
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited {within_s} s for {what}"
        threading.Event().wait(0.005)
    return value


class Write(Kind):
    """Append a text, a byte a step."""

    class _Parameters(NoParameters):
        text: str = Field("x", min_length=1, max_length=1000)

    name, title, portal_types, parameters = "write", "Write", ("Data Stream",), _Parameters

    def run(self, work: Work) -> Iterator[float]:
        text: str = work.parameters.text  # type: ignore[attr-defined]
        for index in range(work.cursor.get("index", 0), len(text)):
            work.document.append(text[index].encode())  # type: ignore[attr-defined]
            work.cursor["index"] = index + 1
            work.log(f"wrote {text[index]}")
            yield (index + 1) / len(text)
        return {"written": len(text)}


class Call(Kind):
    """Call what the test put under a name: with the work, as often as it runs."""

    class _Parameters(NoParameters):
        what: str

    name, title, portal_types, parameters = "call", "Call", ("Data Stream",), _Parameters

    def __init__(self) -> None:
        self.whats: dict[str, Callable[[Work], Any]] = {}

    def run(self, work: Work) -> Any:
        return self.whats[work.parameters.what](work)  # type: ignore[attr-defined]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Make]:
    """Open the directory `var` of the test with both kinds; it is closed at the end."""
    opened: list[Site] = []

    def make(workers: int = 0, **settings: Any) -> Site:
        site, _ = open_site(load(data=tmp_path / "var", admin_password="long enough", threads=8, **settings))
        opened.append(site)
        site.registry.activities.update(write=Write(), call=Call())
        site.workers.start(workers)
        return site

    yield make
    for site in opened:
        site.workers.stop()
        site.close()


@pytest.fixture
def site(make_site: Make) -> Site:
    """A site without threads: `drain` runs the queue."""
    return make_site()


@pytest.fixture
def whats(site: Site) -> dict[str, Callable[[Work], Any]]:
    """What `call` calls, by name."""
    kind = site.registry.activities["call"]
    assert isinstance(kind, Call)
    return kind.whats


@pytest.fixture
def stream(portal: Portal) -> Document:
    """A stream, committed."""
    made = portal.new("Data Stream", reference="stream")
    portal.commit()
    return made


def drain(site: Site) -> None:
    """Run in this thread whatever may run at this moment."""
    while not site.workers.run_next():
        pass


def record_of(portal: Portal, id: str) -> Activity:
    """Return an activity as others see it at this moment."""
    portal.abort()
    found = Outbox.of(portal.root).find(id)
    assert found is not None
    return found


def content(portal: Portal, stream: Document) -> bytes:
    """Return the bytes of the stream as others see them at this moment."""
    portal.abort()
    found: bytes = stream.read()  # type: ignore[attr-defined]
    return found


def claim(site: Site, process: str, id: str) -> Run:
    """Claim one activity as a worker of some process does, without running it."""

    def take(portal: Portal) -> str:
        outbox = Outbox.of(portal.root)
        record = outbox.find(id)
        assert record is not None
        return outbox.claim(record, process)

    return Run(site, Guard(id, site.transact(take)[0], 60, GIB))
