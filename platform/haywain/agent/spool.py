"""The spool: what was read and is not yet acknowledged, on the agent's own disk.

The position up to which a source was read stands in the frame that holds what was read, so the two never
disagree: after a kill or a power cut the position is the last frame that is whole.  Frames are written by
whoever comes first for all that wait, with one fdatasync.  When the spool is full, readers wait; nothing is
dropped.

Each start begins a new epoch, larger than all before, in which the frames of each stream count from 0.  So
a copy of a spool (a cloned machine) does not send other bytes under the same numbers; the portal refuses
the older of the two.
"""

import errno
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Event, Lock
from typing import Any

from haywain.agent import segment as segments
from haywain.agent.backlog import Backlog, Place, Queue
from haywain.agent.frame import Frame, Stream, encode
from haywain.agent.gap import Kept, Missing, kept_before, last_acknowledged
from haywain.agent.identity import identity_of, new_identity
from haywain.agent.locking import lock
from haywain.agent.marks import Marks, Number
from haywain.agent.segment import Positions, Segment, counted
from haywain.errors import CorruptDataError, SpoolInUseError
from haywain.store.fsync import write_durably
from haywain.values import GIB, MIB

log = logging.getLogger(__name__)

STREAMS_MAX = 10_000
"""With more streams than this in one epoch a new one begins, so that their numbers need not be remembered."""

KEPT_SEGMENTS_MAX = 64
FULL_DISK_PAUSE_S = 1.0
PROBED_EVERY_S = 30.0


class _Ticket:
    """Frames that wait to be written together with others."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames
        self.is_done = False
        self.error: Exception | None = None


class Spool:
    """Frames on disk, from the sources' threads to the senders'; one process has it at a time."""

    def __init__(
        self,
        folder: Path,
        *,
        account: str = "",
        limit_bytes: int = GIB,
        segment_bytes: int = 8 * MIB,
        keep_bytes: int = 64 * MIB,
        stop: Event | None = None,
    ) -> None:
        """Open the spool in a folder, or make one; cut off what is torn.

        `account` is for whom frames are numbered: what was sent for another one is never sent again.
        Raises SpoolInUseError if another process has it, OSError if the folder cannot be used.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self.backlog = folder, Backlog()
        self._lock = lock(folder)
        self._limit_bytes, self._segment_bytes, self._keep_bytes = limit_bytes, segment_bytes, keep_bytes
        self._stop = stop or Event()
        self._state = Condition(Lock())
        self._writing, self._waiting = Lock(), Lock()
        self._tickets: list[_Ticket] = []
        self._next: dict[Stream, int] = {}
        self._positions: Positions = {}
        self._segments: dict[int, Segment] = {}
        self._newest_epoch, self._is_closed, self._is_epoch_over = 0, False, False
        self._probed_s = float("-inf")
        self.pending_bytes: dict[str, int] = {}
        self._marks = Marks(folder / "marks")
        self._load_segments()
        self._begin(account)

    def _load_segments(self) -> None:
        paths = segments.found(self.folder)
        for path in paths:
            try:
                segment, self._positions = segments.load(path)
            except CorruptDataError as error:
                log.error("%s; it is kept as %s", error, segments.keep_damaged(path))
                path.unlink()
            else:
                self._load_frames(segment)
                segments.mend(segment, is_last=path == paths[-1])

    def _load_frames(self, segment: Segment) -> None:
        self._segments[segment.number] = segment
        for offset, length, frame in segment.frames():
            segment.size = offset + length
            segment.counted += counted(length)
            self._take_position(frame)
            self._newest_epoch = max(self._newest_epoch, frame.epoch)
            if frame.payload and frame.order > self._marks.acknowledged(frame.stream):
                self._add_to_backlog(segment, offset, frame)

    def _begin(self, account: str) -> None:
        """Take an identity, a new epoch and a new segment."""
        known = identity_of(self.folder)
        self._identity = known or new_identity(account)
        newest = max(self._segments, default=0)
        if self._identity.account != account:
            log.warning("The portal or its token is another one: what waits is sent there, numbered anew")
            self._identity.account, self._identity.first_segment = account, newest + 1
            self._number_anew()
        self._identity.begin_epoch(max(self._marks.last_epoch, self._newest_epoch))
        self._identity.save(self.folder)
        self._active = segments.create(self.folder, newest + 1, self._identity.epoch, self._positions)
        self._segments[newest + 1] = self._active
        self._release()

    def _number_anew(self) -> None:
        for queue in self.backlog.queues():
            frame, number = self._frame(queue.first)
            self._marks.begin(queue.stream, frame.order, number.epoch + 1)
        self._marks.flush()

    @property
    def producer_id(self) -> str:
        """Return who sends, to the portal."""
        return self._identity.id

    @property
    def used_bytes(self) -> int:
        """Return what the spool counts for against its limit."""
        with self._state:
            return sum(segment.counted for segment in self._segments.values())

    def positions(self, source: str) -> dict[str, Any]:  # Any: what the source makes of them
        """Return the durable position of each item of a source."""
        with self._state:
            return dict(self._positions.get(source, {}))

    def append(self, frames: Sequence[Frame]) -> None:
        """Write frames, not yet numbered, durably; wait while the spool or the disk is full.

        Once the agent is to stop, a full spool is no reason to wait: what was read is written.
        Raises OSError if it is to stop and the disk does not take them, SpoolInUseError if it is closed.
        If one frame is such that it cannot be written, all that were to be written with it are not.
        """
        ticket = _Ticket(frames)
        with self._waiting:
            self._tickets.append(ticket)
        with self._writing:
            if self._is_closed:
                raise SpoolInUseError("The spool is closed: the agent ends")
            if not ticket.is_done:
                self._wait_for_room()
                with self._waiting:
                    tickets, self._tickets = self._tickets, []
                self._write_all(tickets)
        if ticket.error is not None:
            raise ticket.error

    def first(self, queue: Queue) -> tuple[Frame, Number, Number | None]:
        """Return the first frame of a stream, the numbers it is sent under, and those before a new epoch.

        Raises CorruptDataError, or OSError if the marks cannot be written.
        """
        frame, number = self._frame(queue.first)
        if number.epoch != queue.last_epoch:
            self._marks.flush()  # else a kill may bring back an epoch before this one, which is refused
            queue.last_epoch = number.epoch
        return frame, number, self._marks.previous(frame, self._identity.first_segment)

    def is_again(self, frame: Frame) -> bool:
        """Return whether a frame was acknowledged once, and is sent again."""
        return self._marks.is_again(frame)

    def begin_epoch(self) -> None:
        """Have what comes from now on numbered anew: another copy of this machine may go on too."""
        self._is_epoch_over = True

    def flush(self) -> None:
        """Make durable what was acknowledged; raises OSError."""
        self._marks.flush()

    def acknowledge(self, queue: Queue, frame: Frame) -> None:
        """Note that the first frame of a stream needs not be sent any more."""
        place = queue.first
        self._marks.acknowledge(frame, place.segment)
        self._done(queue, place)
        with self._state:
            self.pending_bytes[frame.source] -= len(frame.payload)

    def set_aside(self, queue: Queue, frame: Frame, reason: str) -> Path:
        """Keep the first frame of a stream, which the portal will never take, as a file; go on behind it.

        Raises OSError.
        """
        refused = self.folder / "refused"
        refused.mkdir(exist_ok=True, mode=0o700)
        path = refused / f"{queue.first.segment:08d}-{queue.first.offset}"
        told = {**frame.stream._asdict(), "source": frame.source, "reason": reason}
        write_durably(path.with_suffix(".json"), json.dumps(told).encode(), 0o600)
        write_durably(path, frame.payload, 0o600)
        under = self._marks.number(frame).epoch + 1
        self._marks.begin(frame.stream, (frame.epoch, frame.seq + 1), under)
        self.acknowledge(queue, frame)
        return path

    def skip_damaged(self, queue: Queue, error: CorruptDataError) -> None:
        """Go on behind a frame that cannot be read; the segment it lies in is kept for people to look at."""
        place = queue.first
        kept = segments.keep_damaged(self._segments[place.segment].path)
        log.error("%s: a frame of %s is MISSING; the segment is kept as %s", error, queue.stream.tag, kept)
        self._done(queue, place)

    def fill_gap(self, queue: Queue, frame: Frame, missing: Missing) -> None:
        """Go on after the portal refused a frame since it lost earlier ones.

        What is still here is sent again.  Where something is not, a new epoch begins behind that.
        """
        with self._held_segments() as kept:
            again = kept_before(frame, missing, kept, self._marks)
            self._begin_behind(queue, frame, missing, again)
            if again:
                log.warning(
                    "%s: the portal was set back; %d chunks are sent again", queue.stream.tag, len(again)
                )
                self._marks.send_again(queue.stream, frame.order)
                self._marks.go_back(queue.stream, again[0].order, again[0].place.segment)
                with self._state:
                    self._wait_again(again)
            self.backlog.put_before(queue, [entry.place for entry in again])
            self._probe_others(kept)

    def close(self) -> None:
        """Make all durable and let go of the spool; the lock ends with the process too."""
        with self._writing:
            self._is_closed = True  # a source that is slow to end must not write to what is closed
            try:
                self._marks.flush()
            finally:
                self._marks.close()
                self._active.close()
                os.close(self._lock)

    def _begin_behind(self, queue: Queue, frame: Frame, missing: Missing, again: list[Kept]) -> None:
        """Begin a new epoch where the frames to send again do not reach back to all that is missing."""
        if again and (not missing.first or again[0].number.seq <= missing.first):
            return
        number = again[0].number if again else self._marks.number(frame)
        self._marks.begin(queue.stream, again[0].order if again else frame.order, number.epoch + 1)
        log.error(
            "%s: the portal lost chunks %d to %d of epoch %d, which it had acknowledged and which are no"
            " longer in the spool: they are MISSING; going on behind them",
            queue.stream.tag, missing.first, number.seq - 1 if again else missing.last, missing.epoch,
        )  # fmt: skip

    def _probe_others(self, kept_segments: list[Segment]) -> None:
        """Send the last chunk of each stream that waits for nothing once more.

        Of a portal that was set back they too may be lost; it answers `duplicate`, or that it waits for more.
        """
        if time.monotonic() - self._probed_s < PROBED_EVERY_S:
            return
        self._probed_s = time.monotonic()
        last = last_acknowledged(kept_segments, self._marks)
        with self._state:  # no frame of these streams can come in between
            waiting = {queue.stream for queue in self.backlog.queues()}
            for stream, kept in last.items():
                if stream not in waiting and self._marks.acknowledged(stream) == kept.order:
                    self._marks.go_back(stream, kept.order, kept.place.segment)
                    self._wait_again([kept])
                    self.backlog.add(stream, kept.place)

    def _wait_again(self, again: list[Kept]) -> None:
        """Count frames as waiting that were acknowledged; with the state locked."""
        for entry in again:
            self._segments[entry.place.segment].pending += 1
            self._add_pending(entry.source, entry.size_bytes)

    @contextmanager
    def _held_segments(self) -> Iterator[list[Segment]]:
        """Have the segments of this account stay meanwhile."""
        with self._state:
            kept = [s for n, s in sorted(self._segments.items()) if n >= self._identity.first_segment]
            for segment in kept:
                segment.pending += 1
        try:
            yield kept
        finally:
            with self._state:
                for segment in kept:
                    segment.pending -= 1

    def _wait_for_room(self) -> None:
        is_told = False
        while not self._stop.is_set() and self.used_bytes >= self._limit_bytes:
            if self._let_go_of_active():
                continue
            if not is_told:
                log.warning("The spool is full; reading waits until the portal has taken some of it")
            is_told = True
            with self._state:
                self._state.wait(0.5)

    def _let_go_of_active(self) -> bool:
        """Begin a new segment if all of this one is acknowledged: it may be what fills the spool."""
        if self._active.pending or not self._active.counted:
            return False
        try:
            self._roll()
        except OSError as error:
            log.error("The spool is full, and no new segment can be made: %s", error)
            self._stop.wait(FULL_DISK_PAUSE_S)
            return False
        return True

    def _write_all(self, tickets: list[_Ticket]) -> None:
        """Write what waits; a full disk is waited for."""
        failure: Exception | None = None
        while True:
            try:
                if isinstance(failure, OSError):
                    self._prepare_again(failure)
                self._write([frame for ticket in tickets for frame in ticket.frames])
            except OSError as error:
                if failure is None:  # said once, not each second
                    log.error("The spool cannot be written to, reading waits: %s", error)
                failure = error
                if self._stop.is_set():
                    break
                self._stop.wait(FULL_DISK_PAUSE_S)
            except Exception as error:  # a frame that cannot be encoded; who waits must not take it as kept
                failure = error
                break
            else:
                failure = None
                break
        for ticket in tickets:
            ticket.error, ticket.is_done = failure, True

    def _prepare_again(self, failure: OSError) -> None:
        """Make room on a full disk by what is acknowledged; raises OSError."""
        is_full = failure.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_full:
            self._release(keep_bytes=0)
        if not is_full or (self._active.counted and not self._active.pending):
            self._roll()  # what a failed fsync left of a file is not known
        if is_full:
            self._release(keep_bytes=0)

    def _write(self, frames: list[Frame]) -> None:
        if self._is_epoch_over or len(self._next) > STREAMS_MAX:
            self._is_epoch_over = False
            self._identity.begin_epoch(0)
            self._next.clear()
            self._identity.save(self.folder)
        if self._active.counted >= self._segment_bytes:
            self._roll()
        numbered, following = self._numbered(frames)
        heads = [encode(frame) for frame in numbered]
        segment, offset = self._active, self._active.size
        segment.write(
            [part for head, frame in zip(heads, numbered, strict=True) for part in (head, frame.payload)]
        )
        self._next |= following
        with self._state:
            for frame, head in zip(numbered, heads, strict=True):
                length = len(head) + len(frame.payload)
                segment.counted += counted(length)
                self._take_position(frame)
                if frame.payload:
                    self._add_to_backlog(segment, offset, frame)
                offset += length

    def _numbered(self, frames: list[Frame]) -> tuple[list[Frame], dict[Stream, int]]:
        """Return frames with their numbers, and those that follow."""
        following: dict[Stream, int] = {}
        numbered = []
        for frame in frames:
            seq = 0
            if frame.payload:
                seq = following.get(frame.stream, self._next.get(frame.stream, 0))
                following[frame.stream] = seq + 1
            numbered.append(frame._replace(epoch=self._identity.epoch, seq=seq))
        return numbered, following

    def _roll(self) -> None:
        """Begin a new segment; raises OSError."""
        number = self._active.number + 1
        new = segments.create(self.folder, number, self._identity.epoch, self._positions)
        self._active.close()
        with self._state:
            self._segments[number] = self._active = new
        self._release()

    def _frame(self, place: Place) -> tuple[Frame, Number]:
        frame, _ = self._segments[place.segment].read(place.offset)
        return frame, self._marks.number(frame)

    def _take_position(self, frame: Frame) -> None:
        if not frame.item:
            return
        items = self._positions.setdefault(frame.source, {})
        if frame.position is None:
            items.pop(frame.item, None)
        else:
            items[frame.item] = frame.position

    def _add_to_backlog(self, segment: Segment, offset: int, frame: Frame) -> None:
        segment.pending += 1
        self._add_pending(frame.source, len(frame.payload))
        self.backlog.add(frame.stream, Place(segment.number, offset))

    def _add_pending(self, source: str, size_bytes: int) -> None:
        self.pending_bytes[source] = self.pending_bytes.get(source, 0) + size_bytes

    def _done(self, queue: Queue, place: Place) -> None:
        self.backlog.pop(queue)
        with self._state:
            segment = self._segments[place.segment]
            segment.pending -= 1
        if not segment.pending:
            self._release()

    def _release(self, keep_bytes: int | None = None) -> None:
        """Delete segments that are acknowledged as a whole, but the newest of them, up to `keep_bytes`."""
        old, kept_bytes = [], 0
        keep_bytes = self._keep_bytes if keep_bytes is None else keep_bytes
        with self._state:
            done = [s for s in self._segments.values() if not s.pending and s is not self._active]
        for age, segment in enumerate(sorted(done, key=lambda s: -s.number)):
            kept_bytes += segment.counted
            if kept_bytes > keep_bytes or age >= KEPT_SEGMENTS_MAX or not segment.counted:
                old.append(segment)
        if not old:
            return
        try:
            self._marks.flush()  # else frames of an epoch that is over would be sent again, and refused
        except OSError as error:
            log.error("The spool keeps what is acknowledged, since its marks cannot be written: %s", error)
            return
        self._delete(old)

    def _delete(self, old: list[Segment]) -> None:
        with self._state:
            for segment in old:
                if not segment.pending and self._segments.pop(segment.number, None) is not None:
                    segment.path.unlink(missing_ok=True)
            self._state.notify_all()
            oldest = self._segments[min(self._segments)]
        self._marks.compact(oldest.number, oldest.epoch)
