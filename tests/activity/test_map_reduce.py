"""Map-reduce on one document: whatever the parts, and where only `map` is said."""

from typing import Any

import numpy as np
import pytest

from haywain.activity import map_reduce
from haywain.activity.kept import Arrays
from haywain.activity.kind import Work
from haywain.activity.map_reduce import MapReduce, Part
from haywain.errors import InvalidError
from haywain.portal import Portal, Site


class Evens(MapReduce):
    """The even ones of the bytes of a stream."""

    name, title, portal_types = "evens", "Pick the even ones", ("Data Stream",)
    state_times = 0

    def map(self, part: Part) -> Arrays:
        found = np.frombuffer(part.source.read(part.start, part.stop), "u1")  # type: ignore[attr-defined]
        return {"even": found[found % 2 == 0]}


def result(portal: Portal, kind: MapReduce, data: bytes) -> Any:
    stream = portal.new("Data Stream")
    stream.append(data)  # type: ignore[attr-defined]
    steps = kind.run(Work(portal, stream, kind.parameters()))
    shares = []
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as end:
            assert shares == sorted(shares) and all(0 < share < 1 for share in shares)
            return end.value


@pytest.mark.parametrize("step", [1, 7, 255, 256, 1000])
def test_rows_of_the_parts_are_put_behind_each_other(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(Evens, "step_bytes", step)
    with site.open() as portal:
        assert result(portal, Evens(), bytes(range(256))) == {"even": list(range(0, 256, 2))}
        assert result(portal, Evens(), b"") == {"even": []}


def test_too_many_parts_are_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Evens, "step_bytes", 1)
    monkeypatch.setattr(map_reduce, "PARTS_MAX", 3)
    with site.open() as portal, pytest.raises(InvalidError, match="take longer steps than 1 bytes"):
        result(portal, Evens(), b"abcd")
