"""Run a kind of work step by step, as a Worker does, and stop it between two steps as a kill does."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from haywain.activity.kind import Work
from haywain.activity.method import method_of
from haywain.document import Document
from haywain.portal import Portal, Site

Killed = Callable[..., Any]


@pytest.fixture
def run(site: Site) -> Callable[..., Any]:
    """Run a kind on a document; `kill_after` steps it is begun anew from what its last step kept."""

    def run(
        path: str, name: str, kill_after: int = 0, log: list[str] | None = None, **parameters: Any
    ) -> Any:
        kind = site.registry.activities[name]
        with site.open() as portal:
            model = method_of(site.registry, type(portal[path]), name).checked(parameters)
        cursor, kept, oid = {}, {}, None
        for _life in range(1000):
            with site.open() as portal:
                rows = portal.connection.get(oid) if oid is not None else None
                work = Work(portal, portal[path], model, dict(cursor), deepcopy(kept), "the activity", rows)
                steps, taken = kind.run(work), 0
                while not kill_after or taken <= kill_after:
                    try:
                        progress = next(steps)
                    except StopIteration as end:
                        portal.commit()
                        if log is not None:
                            log += work.lines
                        return end.value
                    assert 0 <= progress <= 1
                    taken += 1
                    if not kill_after or taken <= kill_after:  # the last one is lost
                        portal.commit()
                        oid = work.rows._p_oid if work.rows is not None else None
                        cursor, kept = dict(work.cursor), deepcopy(work.kept)
                steps.close()
        raise AssertionError("a thousand lives were not enough")

    return run


@pytest.fixture
def stored(site: Site) -> Callable[..., str]:
    """Store bytes in a Data Stream, committed; return its path."""

    def stored(data: bytes, reference: str = "recording", **properties: Any) -> str:
        def work(portal: Portal) -> str:
            stream = portal.new("Data Stream", reference=reference, **properties)
            stream.append(data)
            return str(stream.path)

        return site.transact(work)[0]

    return stored


@pytest.fixture
def reading(site: Site) -> Iterator[Callable[[str], Document]]:
    """Look at a document as it is committed."""
    with site.open() as portal:

        def find(path: str) -> Document:
            portal.abort()
            return portal[path]

        yield find
