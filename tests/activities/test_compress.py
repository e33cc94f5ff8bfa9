"""Cold segments take less room and read the same."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import Clock

from haywain.document import Document
from haywain.portal import Site
from haywain.store import stream as stream_module

SIZE = 10_000
TEXT = b"".join(b"%06d measured\n" % n for n in range(2500))
NOISE = random.Random(4).randbytes(SIZE)


@pytest.fixture(autouse=True)
def small_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "GENERATION_SIZE", SIZE)


def due(site: Site, set_clock: Clock) -> list[str]:
    with site.open() as portal:
        return sorted(site.registry.activities["compress"].due(portal, 0.0, set_clock.now_s).found)


@pytest.mark.parametrize("kill_after", [0, 1])
def test_old_segments_are_compressed(
    site: Site,
    run: Callable[..., Any],
    stored: Callable[..., str],
    reading: Callable[[str], Document],
    set_clock: Clock,
    kill_after: int,
) -> None:
    data = TEXT[:SIZE] + NOISE + TEXT[SIZE:]
    path = stored(data, compress_after_days=7)
    run(path, "seal")
    set_clock.forward(days=6)
    site.transact(lambda portal: portal[path].append(TEXT[:SIZE]))
    assert run(path, "compress")["compressed"] == 0 and path not in due(site, set_clock)
    set_clock.forward(days=2)
    assert path in due(site, set_clock)
    result = run(path, "compress", kill_after=kill_after)
    assert result["compressed"] == len(data) // SIZE - 1 and result["size"] == len(data) + SIZE
    assert result["stored_bytes"] == reading(path).as_dict()["stored_bytes"] < len(data) // 2 + SIZE
    assert reading(path).read() == data + TEXT[:SIZE]
    assert path not in due(site, set_clock)


def test_all_that_is_sealed_may_be_asked_for(
    run: Callable[..., Any], stored: Callable[..., str], reading: Callable[[str], Document]
) -> None:
    path = stored(TEXT)
    run(path, "seal")
    assert run(path, "compress")["compressed"] == 0
    assert run(path, "compress", all_sealed=True)["compressed"] == 4
    assert reading(path).read() == TEXT


def test_what_is_compressed_is_cut_and_expires(
    site: Site, run: Callable[..., Any], stored: Callable[..., str], reading: Callable[[str], Document]
) -> None:
    path = stored(TEXT, retention_bytes=SIZE)
    run(path, "seal")
    run(path, "compress", all_sealed=True)
    site.transact(lambda portal: portal[path].truncate(SIZE * 2 + 7))
    run(path, "expire")
    stream: Any = reading(path)
    assert stream.start == SIZE and stream.read(SIZE) == TEXT[SIZE : SIZE * 2 + 7]
    assert 0 < stream.stored_bytes < SIZE
