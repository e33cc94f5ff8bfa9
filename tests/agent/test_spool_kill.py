"""Kill -9 at any byte of the spool, and between any two calls: each frame is sent, in order."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.spools import draft, send

from haywain.agent import segment as segments
from haywain.agent.frame import Frame, Stream, encode
from haywain.agent.spool import Spool

BATCHES = st.lists(
    st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=40)), min_size=1, max_size=4), max_size=8
)


@pytest.fixture(scope="module")
def unsynced() -> Iterator[None]:
    """What a kill leaves does not depend on what the disk was told to flush."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(os, "fdatasync", lambda descriptor: None)
        yield


@pytest.mark.usefixtures("unsynced")
@settings(max_examples=60)
@given(batches=BATCHES, cut=st.floats(0, 1), garbage=st.binary(max_size=30))
def test_kill_at_any_byte_leaves_a_prefix_of_frames_and_their_position(
    batches: list[list[tuple[str, bytes]]], cut: float, garbage: bytes
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        spool = Spool(path)
        frames = [
            draft(payload, number, Stream("default", tag), tag)
            for number, (tag, payload) in enumerate(frame for batch in batches for frame in batch)
        ]
        at = iter(frames)
        for batch in batches:
            spool.append([next(at) for _ in batch])
        spool.close()
        (segment,) = path.glob("*.segment")
        data = segment.read_bytes()
        epoch = spool._identity.epoch
        opening = len(data) - sum(length(frame, epoch) for frame in frames)
        keep = opening + int(cut * (len(data) - opening))
        segment.write_bytes(data[:keep] + garbage)

        there = [frame for *_, frame in segments.load(segment)[0].frames()]
        again = Spool(path)
        left = [(frame.stream.tag, frame.payload) for frame in there]
        assert left == [(frame.stream.tag, frame.payload) for frame in frames[: len(left)]]
        rest = frames[len(left) :]
        assert not rest or keep - opening < sum(length(frame, epoch) for frame in frames[: len(left) + 1])
        expected = {frame.item: frame.position for frame in frames[: len(left)]}
        assert again.positions("source") == expected
        for tag in "ab":
            waiting = [payload for sent_tag, *_, payload in send_all(path, again) if sent_tag == tag]
            assert waiting == [payload for other, payload in left if other == tag and payload]
        again.close()


def length(frame: Frame, epoch: int) -> int:
    """Return how long a frame is in a segment."""
    return len(encode(frame._replace(epoch=epoch))) + len(frame.payload)


def send_all(path: Path, spool: Spool) -> list[tuple[str, int, int, bytes]]:
    """Return what a copy of a spool would send."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "spool"
        shutil.copytree(path, copy)
        other = Spool(copy)
        sent = send(other)
        other.close()
        return sent


@pytest.mark.usefixtures("unsynced")
@settings(max_examples=60)
@given(data=st.data())
def test_kills_between_appends_and_acknowledgements_send_each_frame_in_order(data: st.DataObject) -> None:
    """What was acknowledged but not marked may be sent again, under the same numbers."""
    with TemporaryDirectory() as folder:
        path, written, sent = Path(folder) / "spool", [], []
        for _ in range(data.draw(st.integers(1, 5))):
            spool = Spool(path, segment_bytes=4096, keep_bytes=data.draw(st.sampled_from([0, 1 << 20])))
            for _ in range(data.draw(st.integers(0, 6))):
                if data.draw(st.booleans()):
                    written.append(b"%d" % len(written) + b"." * data.draw(st.sampled_from([0, 1500])))
                    spool.append([draft(written[-1], len(written))])
                else:
                    sent += send(spool, until_empty=False)
            if data.draw(st.booleans()):
                spool.flush()
            kill(spool)
        last = Spool(path)
        sent += send(last)
        last.close()
        assert judge(sent) == written
        assert last.positions("source") == ({"file": len(written)} if written else {})


def kill(spool: Spool) -> None:
    """Leave a spool as a kill does: nothing is flushed, and the system closes its files."""
    os.close(spool._lock)
    spool._active.close()
    spool._marks.close()
    spool._is_closed = True


def judge(sent: list[tuple[str, int, int, bytes]]) -> list[bytes]:
    """Return what a portal stores of one stream; it must have nothing to refuse."""
    epoch, last, stored = 0, -1, []
    for _, its_epoch, seq, payload in sent:
        assert its_epoch >= epoch, "an older epoch is refused"
        expected = last + 1 if its_epoch == epoch else 0
        if its_epoch == epoch and seq < expected:
            continue
        assert seq == expected, "a gap is refused"
        epoch, last = its_epoch, seq
        stored.append(payload)
    return stored
