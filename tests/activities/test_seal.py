"""Sealing packs closed generations, one a step, and changes no byte."""

from collections.abc import Callable
from typing import Any

import pytest

from haywain.document import Document
from haywain.portal import Site
from haywain.store import stream as stream_module


@pytest.fixture(autouse=True)
def small_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "GENERATION_SIZE", 100)


@pytest.mark.parametrize("kill_after", [0, 1])
def test_all_is_sealed_and_reads_the_same(
    run: Callable[..., Any], stored: Callable[..., str], reading: Callable[[str], Document], kill_after: int
) -> None:
    data = bytes(range(250)) * 2
    path = stored(data)
    assert run(path, "seal", kill_after=kill_after) == {"sealed": 5}
    assert reading(path).read() == data and not reading(path).unsealed()
    assert run(path, "seal") == {"sealed": 0}


def test_tail_may_stay_open(run: Callable[..., Any], stored: Callable[..., str], site: Site) -> None:
    path = stored(bytes(250))
    assert run(path, "seal", close_tail=False) == {"sealed": 2}
    site.transact(lambda portal: portal[path].append(b"x" * 50))
    assert run(path, "seal", close_tail=True) == {"sealed": 1}


def test_empty_stream_has_nothing_to_seal(run: Callable[..., Any], stored: Callable[..., str]) -> None:
    assert run(stored(b""), "seal") == {"sealed": 0}
