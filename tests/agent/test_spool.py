"""The spool: what was read is there until it is acknowledged, in order, with its position."""

import errno
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.spools import A, B, Open, close, draft, payloads, send
from tests.functional.program import until

from haywain.agent import segment as segments
from haywain.agent import spool as spool_module
from haywain.agent.frame import Frame, Stream
from haywain.agent.gap import Missing
from haywain.agent.marks import Number
from haywain.agent.spool import Spool
from haywain.errors import CorruptDataError, SpoolInUseError


@pytest.fixture
def open_spool(tmp_path: Path) -> Iterator[Open]:
    opened: list[Spool] = []

    def new(**options: Any) -> Spool:
        for spool in opened:
            close(spool)
        opened.append(Spool(tmp_path / "spool", **options))
        return opened[-1]

    yield new
    for spool in opened:
        close(spool)


def test_frames_of_a_stream_come_in_order_and_count_from_0(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"1"), draft(b"2", stream=B), draft(b"3")])
    sent = send(spool)
    assert [(tag, seq, payload) for tag, _, seq, payload in sent if tag == "a"] == [
        ("a", 0, b"1"),
        ("a", 1, b"3"),
    ]
    assert [(seq, payload) for tag, _, seq, payload in sent if tag == "b"] == [(0, b"2")]


def test_streams_take_turns(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"x", stream=A)] * 3 + [draft(b"y", stream=B)])
    assert [tag for tag, *_ in send(spool)][:2] == ["a", "b"]


def test_what_was_not_acknowledged_is_there_at_the_next_start(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"1", 1), draft(b"2", 2), draft(b"3", 3)])
    first = send(spool, until_empty=False)
    again = open_spool()
    assert payloads(again) == [b"2", b"3"]
    assert again.positions("source") == {"file": 3}
    assert first[0][3] == b"1"


def test_next_start_keeps_old_numbers_and_begins_a_later_epoch(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"1"), draft(b"2")])
    spool = open_spool()
    spool.append([draft(b"3")])
    (_, epoch, seq, _), second, third = send(spool)
    assert (second[1], second[2]) == (epoch, seq + 1)
    assert third[1] > epoch and third[2] == 0


def test_epoch_grows_though_the_clock_went_back(open_spool: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_spool()._identity.epoch
    monkeypatch.setattr("haywain.agent.identity.time.time_ns", lambda: 1_000)
    assert open_spool()._identity.epoch > first


def test_position_none_forgets_an_item(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"", 5, item="x"), draft(b"", 6, item="y")])
    spool.append([Frame(0, 0, "source", A, b"", "x", None)])
    assert spool.positions("source") == {"y": 6} == open_spool().positions("source")
    assert not open_spool().backlog.queues(), "a position alone is not sent"


def test_second_agent_on_a_spool_is_refused(open_spool: Open, tmp_path: Path) -> None:
    open_spool()
    with pytest.raises(SpoolInUseError, match="Another agent runs on the spool"):
        Spool(tmp_path / "spool")


def test_acknowledged_segments_are_deleted_and_positions_stay(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(segment_bytes=4096, keep_bytes=0)
    for number in range(50):
        spool.append([draft(b"x" * 900, number)])
    assert len(list((tmp_path / "spool").glob("*.segment"))) > 10
    send(spool)
    assert len(list((tmp_path / "spool").glob("*.segment"))) == 1
    assert open_spool().positions("source") == {"file": 49}


def test_one_stream_that_waits_keeps_only_its_segments(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool(segment_bytes=4096, keep_bytes=0)
    spool.append([draft(b"stuck", stream=B)])
    for number in range(20):
        spool.append([draft(b"x" * 900, number)])
    stuck = spool.backlog.take()
    assert stuck is not None and stuck.stream == B
    while (queue := spool.backlog.take()) is not None:
        frame, _, _ = spool.first(queue)
        spool.acknowledge(queue, frame)
        spool.backlog.give_back(queue)
        if not any(len(q) and q.stream == A for q in spool.backlog.queues()):
            break
    assert len(list((tmp_path / "spool").glob("*.segment"))) == 2
    spool.backlog.give_back(stuck)
    assert payloads(open_spool()) == [b"stuck"]


def test_full_spool_blocks_the_reader_and_drops_nothing(
    open_spool: Open, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool(limit_bytes=16 << 10, segment_bytes=4096, keep_bytes=0)
    done: list[int] = []

    def read() -> None:
        for number in range(40):
            spool.append([draft(b"%02d" % number * 500, number)])
            done.append(number)

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: "The spool is full" in caplog.text, "the spool to be full")
    assert len(done) < 20
    sent: list[bytes] = []
    until(lambda: sent.extend(payloads(spool)) or len(sent) == 40, "all frames")
    reader.join(10)
    assert sent == [b"%02d" % number * 500 for number in range(40)]
    assert spool.used_bytes <= 16 << 10


def test_small_frames_count_so_that_their_number_is_bounded(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"x")] * 100)
    assert spool.used_bytes == 100 * segments.LEAST_COUNTED_BYTES


def test_agent_that_is_to_stop_does_not_wait_for_room(open_spool: Open) -> None:
    stop = threading.Event()
    spool = open_spool(limit_bytes=1024, stop=stop)
    spool.append([draft(b"x" * 2000)])
    stop.set()
    spool.append([draft(b"last")])
    assert payloads(spool)[-1] == b"last"


def test_full_disk_is_waited_for(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool()
    spool.append([draft(b"before", 1)])
    monkeypatch.setattr(spool_module, "FULL_DISK_PAUSE_S", 0.01)
    real, failures = segments._write_whole, iter([True, True])

    def write(descriptor: int, data: bytes) -> None:
        if next(failures, False):
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor, data)

    monkeypatch.setattr(segments, "_write_whole", write)
    spool.append([draft(b"after", 2)])
    assert "cannot be written to" in caplog.text
    assert payloads(open_spool()) == [b"before", b"after"]


def test_full_disk_takes_the_room_of_what_was_kept(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spool = open_spool(segment_bytes=4096)
    monkeypatch.setattr(spool_module, "FULL_DISK_PAUSE_S", 0.01)
    real = segments._write_whole

    def write(descriptor: int, data: bytes) -> None:
        if sum(path.stat().st_size for path in (tmp_path / "spool").glob("*.segment")) + len(data) > 20_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor, data)

    monkeypatch.setattr(segments, "_write_whole", write)
    sent = []
    for number in range(60):
        spool.append([draft(b"%02d" % number * 500, number)])
        sent += payloads(spool)
    assert sent == [b"%02d" % number * 500 for number in range(60)]


def test_failed_fsync_begins_a_new_segment(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spool = open_spool()
    monkeypatch.setattr(spool_module, "FULL_DISK_PAUSE_S", 0.01)
    real, failures = os.fdatasync, iter([True])

    def sync(descriptor: int) -> None:
        if next(failures, False):
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(segments.os, "fdatasync", sync)
    spool.append([draft(b"kept", 1)])
    assert [path.name for path in (tmp_path / "spool").glob("*.segment")] == ["00000002.segment"]
    assert payloads(open_spool()) == [b"kept"]


def test_threads_write_together_and_each_frame_once(open_spool: Open) -> None:
    spool = open_spool(segment_bytes=8192)
    streams = [Stream("default", f"t{number}") for number in range(8)]

    def write(stream: Stream) -> None:
        for number in range(50):
            spool.append([draft(b"%d" % number, number, stream, stream.tag)])

    threads = [threading.Thread(target=write, args=(stream,)) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    sent = send(open_spool())
    for stream in streams:
        assert [p for tag, *_, p in sent if tag == stream.tag] == [b"%d" % number for number in range(50)]


def test_many_streams_begin_a_new_epoch(open_spool: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "STREAMS_MAX", 10)
    spool = open_spool()
    for number in range(12):
        spool.append([draft(b"x", stream=Stream("default", f"t{number}"))])
    spool.append([draft(b"again", stream=Stream("default", "t0"))])
    sent = [(epoch, seq) for tag, epoch, seq, _ in send(spool) if tag == "t0"]
    assert sent[0][0] < sent[1][0] and [seq for _, seq in sent] == [0, 0]


def test_refused_frame_is_set_aside_and_the_next_counts_anew(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    spool.append([draft(b"0"), draft(b"too large"), draft(b"2"), draft(b"3")])
    (zero,) = send(spool, until_empty=False)
    queue = spool.backlog.take()
    assert queue is not None
    frame, _, _ = spool.first(queue)
    path = spool.set_aside(queue, frame, "The chunk is too large")
    spool.backlog.give_back(queue)
    assert path.read_bytes() == b"too large"
    assert b"too large" in path.with_suffix(".json").read_bytes()
    again = open_spool()
    assert [(epoch, seq, payload) for _, epoch, seq, payload in send(again)] == [
        (zero[1] + 1, 0, b"2"),
        (zero[1] + 1, 1, b"3"),
    ]


def take_first(spool: Spool) -> tuple[Any, Frame, Any, Any]:
    queue = spool.backlog.take()
    assert queue is not None
    return queue, *spool.first(queue)


def fill_gap(spool: Spool, expected: int) -> Number:
    """Have a portal wait for a number before the first frame; return the numbers of that."""
    queue, frame, number, previous = take_first(spool)
    spool.fill_gap(queue, frame, Missing.of(expected, number, previous))
    spool.backlog.give_back(queue)
    return number


def test_portal_that_was_set_back_is_sent_again_what_is_here(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"%d" % number) for number in range(6)])
    for _ in range(4):
        send(spool, until_empty=False)
    fill_gap(spool, 2)
    spool.flush()
    again = open_spool()
    assert [(seq, payload) for _, _, seq, payload in send(again)] == [
        (2, b"2"), (3, b"3"), (4, b"4"), (5, b"5"),
    ]  # fmt: skip


def test_gap_that_cannot_be_filled_begins_a_new_epoch_and_is_told(
    open_spool: Open, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool(segment_bytes=2048, keep_bytes=0)
    for number in range(8):
        spool.append([draft(b"%d" % number * 1000)])
    first = [send(spool, until_empty=False)[0] for _ in range(5)]
    number = fill_gap(spool, 1)
    sent = send(spool)
    assert "MISSING" in caplog.text
    assert [(epoch - number.epoch, seq) for _, epoch, seq, _ in sent] == [(1, n) for n in range(len(sent))]
    assert sent[-1][3] == b"7" * 1000
    assert first[0][1] == number.epoch


def test_portal_that_knows_nothing_is_sent_all_that_is_here(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"old")])
    send(spool)
    spool = open_spool()
    spool.append([draft(b"0"), draft(b"1")])
    send(spool, until_empty=False)
    fill_gap(spool, 0)
    assert payloads(spool) == [b"old", b"0", b"1"]


def test_first_of_an_epoch_names_what_came_before(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"0"), draft(b"1")])
    *_, (_, epoch, seq, _) = send(spool)
    spool = open_spool()
    spool.append([draft(b"2"), draft(b"3")])
    queue, frame, _, previous = take_first(spool)
    assert previous == (epoch, seq) == (epoch, 1)
    spool.acknowledge(queue, frame)
    assert spool.first(queue)[2] is None


def test_portal_that_was_set_back_before_an_epoch_is_sent_again_what_is_here(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"0"), draft(b"1"), draft(b"2")])
    send(spool)
    spool = open_spool()
    spool.append([draft(b"3")])
    fill_gap(spool, 1)
    assert [(seq, payload) for _, _, seq, payload in send(spool)] == [(1, b"1"), (2, b"2"), (0, b"3")]


def test_what_is_missing_before_an_epoch_is_told_once(
    open_spool: Open, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool(segment_bytes=1024, keep_bytes=0)
    for number in range(3):
        spool.append([draft(b"%d" % number * 1000)])
    for number in range(3):
        spool.append([draft(b"%d" % number * 1000, stream=B)])
    send(spool)
    spool = open_spool()
    spool.append([draft(b"3")])
    number = fill_gap(spool, 1)
    assert "chunks 1 to 2" in caplog.text
    sent = {frame.stream: rest for _, frame, *rest in (take_first(spool), take_first(spool))}
    assert sent[A] == [(number.epoch + 1, 0), None]


def test_what_is_sent_again_is_known_after_a_kill(open_spool: Open) -> None:
    spool = open_spool()
    spool.append([draft(b"0")])
    send(spool)
    spool = open_spool()
    spool.append([draft(b"1"), draft(b"2")])
    send(spool, until_empty=False)
    fill_gap(spool, 0)
    spool.flush()
    spool = open_spool()
    seen = []
    while spool.backlog.queues():
        queue, frame, _, _ = take_first(spool)
        seen.append((frame.payload, spool.is_again(frame)))
        spool.acknowledge(queue, frame)
        spool.backlog.give_back(queue)
    assert seen == [(b"0", True), (b"1", True), (b"2", False)]


def test_another_account_is_sent_what_waits_and_nothing_else(open_spool: Open) -> None:
    spool = open_spool(account="old token")
    spool.append([draft(b"sent"), draft(b"waits"), draft(b"waits too")])
    send(spool, until_empty=False)
    spool = open_spool(account="new token")
    spool.append([draft(b"new")])
    queue, frame, number, _ = take_first(spool)
    assert number.seq == 0
    spool.fill_gap(queue, frame, Missing(number.epoch, 0, 0))
    spool.backlog.give_back(queue)
    assert payloads(spool) == [b"waits", b"waits too", b"new"]


def test_damage_is_told_kept_and_gone_beyond(
    open_spool: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool(segment_bytes=2048)
    for number in range(6):
        spool.append([draft(b"%d" % number * 1000, number)])
    close(spool)
    first = min((tmp_path / "spool").glob("*.segment"))
    data = bytearray(first.read_bytes())
    data[-1500] ^= 1
    first.write_bytes(data)
    again = open_spool()
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 1
    assert len(list((tmp_path / "spool" / "damaged").iterdir())) == 1
    sent = payloads(again)
    assert sent == [b"%d" % number * 1000 for number in range(6 - len(sent), 6)]
    assert 3 <= len(sent) < 6


def test_frame_damaged_while_it_waits_is_skipped(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    spool.append([draft(b"x" * 1000)])
    (path,) = (tmp_path / "spool").glob("*.segment")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    queue = spool.backlog.take()
    assert queue is not None
    with pytest.raises(CorruptDataError) as raised:
        spool.first(queue)
    spool.skip_damaged(queue, raised.value)
    spool.backlog.give_back(queue)
    assert not spool.backlog.queues()


def test_damaged_identity_is_told(open_spool: Open, tmp_path: Path) -> None:
    close(open_spool())
    (tmp_path / "spool" / "producer.json").write_text("{")
    with pytest.raises(CorruptDataError, match="move the folder away"):
        Spool(tmp_path / "spool")


def test_frame_that_cannot_be_written_fails_whoever_waited_with_it(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()
    errors: list[BaseException | None] = []

    def append(frame: Frame) -> None:
        try:
            spool.append([frame])
        except Exception as error:
            errors.append(error)
        else:
            errors.append(None)

    def wait_for_both() -> None:
        monkeypatch.undo()
        until(lambda: len(spool._tickets) == 2, "both")

    monkeypatch.setattr(spool, "_wait_for_room", wait_for_both)
    frames = [draft(b"good", 1), draft(b"bad", object())]
    threads = [threading.Thread(target=append, args=(frame,)) for frame in frames]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [type(error) for error in errors] == [TypeError, TypeError]
    spool.append([draft(b"next", 2)])
    assert payloads(spool) == [b"next"]


def test_spool_that_one_write_has_filled_goes_on_once_that_is_acknowledged(open_spool: Open) -> None:
    spool = open_spool(limit_bytes=8192, segment_bytes=1024, keep_bytes=2048)
    spool.append([draft(bytes(2048), n) for n in range(8)])
    send(spool)
    thread = threading.Thread(target=spool.append, args=([draft(b"next", 8)],), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert payloads(spool) == [b"next"]
