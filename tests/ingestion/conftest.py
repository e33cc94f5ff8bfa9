"""Send to a site as agents do, and change what its policy does."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from haywain.ingestion import Request, deliver
from haywain.interfaces import Chunk, Route
from haywain.portal import Portal, Site
from haywain.security import User
from haywain.values import Receipt

AGENT = User("agent", frozenset({"Agent"}), frozenset({"ingest:default"}), "token_module/1")


@pytest.fixture
def send(site: Site) -> Callable[..., Receipt]:
    """Call it with a tag and a body; other words are those of a Request."""

    def send(tag: str | bytes | None, body: bytes, **options: Any) -> Receipt:
        raw = tag.encode() if isinstance(tag, str) else tag
        return deliver(site, Request(**({"policy": "default", "user": AGENT} | options), tag=raw, body=body))

    return send


@pytest.fixture
def bytes_of(site: Site) -> Callable[[str], bytes]:
    """Call it with a path for the bytes that are there."""

    def bytes_of(path: str) -> bytes:
        with site.open() as portal:
            return portal[path].read()

    return bytes_of


class OddRule:
    """A policy that does what a test tells it."""

    name, title = "odd", "Odd"

    def __init__(self) -> None:
        self.route_with: Callable[[str], Route | None] = lambda tag: Route(tag, tag, tag)
        self.deliver_with: Callable[[Chunk, Any], object] = lambda chunk, targets: targets.append(chunk.body)

    def route(self, tag: str) -> Route | None:
        return self.route_with(tag)

    def deliver(self, chunk: Chunk, targets: Any) -> None:
        self.deliver_with(chunk, targets)


@pytest.fixture
def rule(site: Site) -> Iterator[OddRule]:
    """The rule of the policy `odd`."""
    site.registry.ingestion_policies["odd"] = found = OddRule()

    def make(portal: Portal) -> None:
        if "odd" not in portal.root["portal_ingestion_policies"]:
            portal.new("Ingestion Policy", reference="odd")

    site.transact(make)
    yield found
    del site.registry.ingestion_policies["odd"]


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls in threads that start together; return results, or what was raised."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = calls[number]()
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def together() -> Callable[..., list[Any]]:
    return at_once
