"""Bytes of request bodies and of uploads on disk, beside the blobs.

    DIR/uploads/<id>/info.json, 000000, 000001, ...     an upload (tus), kept until it is finished or expires
    DIR/uploads/body-<random>/000000, ...               the body of one request, gone with the request
    DIR/uploads/new-<id>/, gone-<random>/               being made, being removed

Bytes lie in piece files (`store/pieces.py`), each at most as large as a Segment, so that each becomes one
by link and rename, without a copy.  The sizes of the files are the only record of how much arrived: what
was written before a kill is there after it, and an upload goes on from there.  One process owns the
directory (the lock of the data directory says so); what a killed one left of bodies is removed at start.
"""

import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from haywain import clock
from haywain.errors import (
    ChecksumError,
    CorruptDataError,
    HaywainError,
    InvalidError,
    NotFoundError,
    OffsetError,
    TemporaryError,
    UploadLockedError,
)
from haywain.store.checksum import Checksum
from haywain.store.disk import free_bytes, reserved_bytes
from haywain.store.fsync import fsync_path, write_durably
from haywain.store.pieces import PIECE_SIZE, Pieces
from haywain.store.unverified import mark, marked, unmark
from haywain.values import MIB

MODES = ("append", "replace")
"""What an upload may do to its stream."""

_ID = re.compile(r"[0-9a-f]{32}")
_INFO = "info.json"


@dataclass(frozen=True)
class UploadInfo:
    """What an upload is for: so many bytes for the document at a path, by this user.

    `length` is in bytes, `created` in seconds since 1970 UTC, `token_path` that of the Token used, if any.
    `finished` says that the bytes are in the stream and the pieces are gone; `metadata` is Upload-Metadata
    as it came.
    """

    path: str
    length: int
    mode: str
    filename: str
    user: str
    created: float
    token_path: str | None = None
    finished: bool = False
    metadata: str = ""


@dataclass(frozen=True)
class Upload:
    """An upload as it was on disk when it was looked at; `offset` is the number of bytes that were here."""

    id: str
    info: UploadInfo
    pieces: Pieces
    offset: int

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are here."""
        return self.offset == self.info.length


class UploadWriter:
    """The one connection that writes to an upload, from `Uploads.writer` to `close`."""

    def __init__(self, uploads: "Uploads", upload: Upload, checksum: Checksum | None) -> None:
        """Begin at the end of what is there; with a checksum, nothing counts before `seal`."""
        self.upload = upload
        self._checksum = checksum
        self.start = upload.offset
        self.is_revoked = False
        self._uploads = uploads
        self._end = self.start
        self._is_sealed = False
        self._touched = time.monotonic()

    def append(self, data: bytes) -> None:
        """Write bytes through to the disk.

        Raises InvalidError for more bytes than announced, UploadLockedError after another connection took
        over or the upload was removed, OSError of the disk: then the bytes written so far stay.
        """
        if self.is_revoked:
            raise UploadLockedError("Another connection took over or removed this upload")
        if self._end + len(data) > self.upload.info.length:
            raise InvalidError(f"The upload has {self.upload.info.length} bytes, more were sent")
        self.upload.pieces.append(data)
        if self._checksum is not None:
            self._checksum.update(data)
        self._end += len(data)
        self._touched = time.monotonic()

    def seal(self) -> None:
        """Say that the body is complete; the upload stays taken until `close`.

        Raises ChecksumError if the bytes are not those that were sent: then they are gone; UploadLockedError.
        """
        self._is_sealed = True
        self.upload.pieces.close()
        if self._checksum is None:
            return
        if self.is_revoked:  # what was not verified is gone
            raise UploadLockedError("Another connection took over or removed this upload")
        self._verify(self._checksum)

    def _verify(self, checksum: Checksum) -> None:
        try:
            checksum.check()
        except ChecksumError:
            if self._end > self.start:
                self.upload.pieces.truncate(self.start)
            raise
        finally:
            unmark(self.upload.pieces.path)

    def close(self) -> None:
        """Let the next one write; closing twice is fine."""
        self.is_revoked = True
        self.upload.pieces.close()
        self._uploads._release(self)

    def is_stale(self, after_s: float) -> bool:
        """Return whether the body is not complete and nothing came for so long."""
        return not self._is_sealed and time.monotonic() - self._touched > after_s


class Uploads:
    """The directory of uploads and bodies; its methods may be called from any thread."""

    def __init__(
        self,
        directory: Path,
        *,
        piece_size: int = PIECE_SIZE,
        reserve_bytes: int | None = None,
        stale_s: float = 5,
    ) -> None:
        """Create the directory or clean it of what a killed process left.

        `reserve_bytes` of the disk are kept free, by default 5 % but at most 2 GiB.  A writer that was
        silent for `stale_s` seconds gives way to another: its connection is most likely dead.
        """
        self.path = Path(directory)
        self._piece_size, self._reserve_bytes, self._stale_s = piece_size, reserve_bytes, stale_s
        self._writers: dict[str, UploadWriter] = {}
        self._lock, self._finishing = threading.Lock(), threading.Lock()
        self.path.mkdir(parents=True, exist_ok=True)
        for entry in self.path.iterdir():
            if entry.name.startswith(("body-", "gone-", "new-")):
                shutil.rmtree(entry)
        for upload in self._all():
            if upload.info.finished:  # by a process that died before it removed the pieces
                upload.pieces.truncate(0)

    def temporary(self) -> Pieces:
        """Return empty Pieces for the body of a request, which discards them."""
        path = self.path / f"body-{secrets.token_hex(8)}"
        path.mkdir()
        return Pieces(path, self._piece_size)

    def check_room(self, size: int) -> None:
        """Raise TemporaryError if `size` more bytes would take the disk below what is kept free."""
        free, total = free_bytes(self.path)
        reserve = reserved_bytes(total) if self._reserve_bytes is None else self._reserve_bytes
        if free - size < reserve:
            raise TemporaryError(
                f"The disk is nearly full: {free // MIB} MiB are free, {reserve // MIB} MiB must stay free",
                retry_after_s=60,
            )

    def room_bytes(self) -> int:
        """Return how many bytes may still come before the disk is taken below what is kept free."""
        free, total = free_bytes(self.path)
        reserve = reserved_bytes(total) if self._reserve_bytes is None else self._reserve_bytes
        return max(0, free - reserve)

    def create(self, info: UploadInfo, pieces: Pieces | None = None) -> str:
        """Begin an upload durably, with the bytes of `pieces`; return its id, which cannot be guessed."""
        if info.length < 0 or info.mode not in MODES:
            raise InvalidError("An upload has a length of 0 bytes or more and a mode, append or replace")
        upload_id = secrets.token_hex(16)
        folder = self.path / f"new-{upload_id}"
        if pieces is None:
            folder.mkdir()
        else:
            pieces.close()
            pieces.path.rename(folder)
        self._write_info(folder, info)
        folder.rename(self.path / upload_id)
        fsync_path(self.path)
        return upload_id

    def get(self, upload_id: str) -> Upload:
        """Return an upload; raises NotFoundError, or CorruptDataError if its description is damaged."""
        if not _ID.fullmatch(upload_id):
            raise NotFoundError("There is no such upload")
        folder = self.path / upload_id
        pieces = Pieces(folder, self._piece_size)
        size = _counted(pieces)  # before the description: it is finished first, then the pieces go
        try:
            info = UploadInfo(**json.loads((folder / _INFO).read_bytes()))
        except FileNotFoundError as error:
            raise NotFoundError("There is no such upload; it may have expired") from error
        except (ValueError, TypeError) as error:
            raise CorruptDataError(f"The description of the upload {upload_id} is damaged") from error
        return Upload(upload_id, info, pieces, info.length if info.finished else size)

    def writer(self, upload_id: str, offset: int, checksum: Checksum | None = None) -> UploadWriter:
        """Return the only writer of an upload, which must be closed.

        With a checksum its bytes count once `seal` found them to be right.

        Raises NotFoundError, UploadLockedError while another one writes, OffsetError if the bytes don't
        end at `offset`.
        """
        with self._lock:
            upload = self.get(upload_id)
            holder = self._writers.get(upload_id)
            if holder is not None and not holder.is_stale(self._stale_s):
                raise UploadLockedError("Another connection is writing to this upload; try again soon")
            if offset != upload.offset:
                raise OffsetError(offset, upload.offset)
            if holder is not None:
                holder.is_revoked = True
            _drop_unverified(upload)
            if checksum is not None and not upload.info.finished:
                mark(upload.pieces.path, upload.offset)
            writer = self._writers[upload_id] = UploadWriter(self, upload, checksum)
            return writer

    def expires(self, upload_id: str, after_s: float) -> float:
        """Return when an upload expires if nothing comes any more, in seconds since 1970 UTC."""
        return _touched(self.path / upload_id) + after_s

    def finish(self, upload_id: str) -> None:
        """Remember that the bytes are in their stream, and remove the pieces.

        Call it after the commit: a sender that missed the answer then learns that all its bytes are here,
        and does not send them anew.  `expire` removes the rest.
        """
        with self._finishing:  # a last PATCH and a HEAD of the same client may come here at once
            upload = self.get(upload_id)
            if upload.info.finished:
                return
            self._write_info(upload.pieces.path, replace(upload.info, finished=True))
        upload.pieces.truncate(0)

    def discard(self, upload_id: str) -> None:
        """Remove an upload; a connection that is sending to it is refused. Unknown ids are fine."""
        if not _ID.fullmatch(upload_id):
            return
        with self._lock:
            if upload_id in self._writers:
                self._writers[upload_id].is_revoked = True
        Pieces(self.path / upload_id, self._piece_size).discard()

    def complete(self) -> list[Upload]:
        """Return the uploads whose bytes are all here but, as far as is known, not in their stream."""
        return [
            upload
            for upload in self._all()
            if upload.is_complete and not upload.info.finished and upload.id not in self._writers
        ]

    def expire(self, older_than_s: float) -> list[str]:
        """Discard the uploads to which nothing came for so many seconds; return their ids."""
        limit = clock.now_s() - older_than_s
        found = [p.name for p in self.path.iterdir() if _ID.fullmatch(p.name) and _touched(p) < limit]
        expired = [upload_id for upload_id in found if upload_id not in self._writers]
        for upload_id in expired:
            self.discard(upload_id)
        return expired

    def _all(self) -> Iterator[Upload]:
        """Yield all uploads that can be read, by id."""
        for upload_id in sorted(p.name for p in self.path.iterdir() if _ID.fullmatch(p.name)):
            with suppress(HaywainError):  # removed meanwhile, or damaged: `expire` removes it
                yield self.get(upload_id)

    def _release(self, writer: UploadWriter) -> None:
        with self._lock:
            if self._writers.get(writer.upload.id) is writer:
                del self._writers[writer.upload.id]

    def _write_info(self, folder: Path, info: UploadInfo) -> None:
        write_durably(folder / _INFO, json.dumps(asdict(info)).encode())


def _counted(pieces: Pieces) -> int:
    """Return the number of bytes that count; the mark is read twice, since a writer may begin or end."""
    before, size, after = marked(pieces.path), pieces.size, marked(pieces.path)
    return min(size, *(found for found in (before, after) if found is not None), size)


def _drop_unverified(upload: Upload) -> None:
    """Remove bytes that a connection left before it was known whether they are right."""
    if marked(upload.pieces.path) is not None and not upload.info.finished:
        upload.pieces.truncate(upload.offset)
        unmark(upload.pieces.path)


def _touched(folder: Path) -> float:
    """Return when a file in the folder was last written; 0 if the folder is gone meanwhile."""
    try:
        return max((path.stat().st_mtime for path in folder.iterdir()), default=0)
    except FileNotFoundError:
        return 0
