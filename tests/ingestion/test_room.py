"""Room: four of the largest bodies at once, and no more."""

import threading
from contextlib import ExitStack

import pytest

from haywain.errors import TemporaryError
from haywain.ingestion import room
from haywain.ingestion.room import Room
from haywain.values import KIB, MIB


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(room, "PATIENCE_S", 0.01)
    return Room(decoded_bytes=100 * MIB)


@pytest.mark.parametrize(
    ("body_bytes", "is_encoded", "fit"),
    [(100 * MIB, False, 4), (300 * MIB, False, 4), (MIB, True, 4), (50 * MIB, False, 8), (10, True, 399)],
)
def test_so_many_bodies_are_under_way_and_one_more_is_to_come_again(
    full: Room, body_bytes: int, is_encoded: bool, fit: int
) -> None:
    with ExitStack() as under_way:
        for _ in range(fit):
            under_way.enter_context(full.held(body_bytes, is_encoded))
        with pytest.raises(TemporaryError, match="send it again"), full.held(body_bytes, is_encoded):
            pass
        with full.held(64 * KIB, is_encoded=False):
            pass
    with full.held(body_bytes, is_encoded):
        pass


def test_room_that_is_given_back_is_waited_for(full: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE_S", 20)
    taken, entered = ExitStack(), threading.Event()
    for _ in range(4):
        taken.enter_context(full.held(100 * MIB, is_encoded=False))

    def wait() -> None:
        with full.held(100 * MIB, is_encoded=False):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not entered.wait(0.05)
    taken.close()
    assert entered.wait(20)
    waiting.join()
