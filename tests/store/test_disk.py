"""Disk: what must stay free of it is one rule, for uploads and for being ready."""

from pathlib import Path

import pytest

from haywain.store import disk
from haywain.store.disk import has_room, reserved_bytes
from haywain.values import GIB


def test_a_twentieth_stays_free_but_at_most_2_gib() -> None:
    assert reserved_bytes(20_000) == 1000
    assert reserved_bytes(1000 * GIB) == 2 * GIB


def test_there_is_room_up_to_what_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_room(tmp_path, 1 << 60)
    monkeypatch.setattr(disk, "free_bytes", lambda path: (1500, 20_000))
    assert has_room(tmp_path, 500) and not has_room(tmp_path, 501)
