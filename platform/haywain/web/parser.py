"""A request as it comes in: limit and buffer are chosen by the path once the headers are in.

    POST /portal_ingestion_policies/{policy}/ingest   in memory, then an unnamed file; limited
    PUT, POST, PATCH /{path}/data                     over 1 MiB: Pieces beside the blobs; the disk limits
    PUT /{path}/buckets/{key}                         the same, limited to what a bucket may have
    PATCH /{path}/uploads/{id}                        to the end of that upload (tus), as far as announced
    POST /{path}/uploads                              the same as /data: the first bytes of a new upload
    anything else                                     in memory; limited to what a form needs

An upload's id cannot be guessed, so its bytes are taken before the application knows who sends them; all
else without credentials is refused beyond 64 KiB.  A request that two programs could understand
differently is refused, since one of them may be the proxy that decides who may send it.

The application finds in the WSGI environment: `haywain.request_id`; `haywain.pieces` (Pieces, until the
request ends) when a body of `/data` lies in files; `haywain.upload_id` and `haywain.upload_start` (offset of
this body's first byte) when it went to an upload.  With either `wsgi.input` is empty, CONTENT_LENGTH 0.
"""

import io
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from tempfile import TemporaryFile

from waitress.adjustments import Adjustments
from waitress.buffers import FileBasedBuffer, OverflowableBuffer
from waitress.parser import HTTPRequestParser
from waitress.utilities import Error as WaitressError

from haywain.errors import (
    HaywainError,
    InvalidError,
    PreconditionError,
    TemporaryError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedMediaError,
)
from haywain.store.buckets import BUCKET_SIZE
from haywain.store.checksum import Checksum
from haywain.store.pieces import Pieces
from haywain.store.upload import Uploads, UploadWriter
from haywain.values import KIB, MIB
from haywain.web.problems import new_request_id

TUS_VERSION = "1.0.0"
UPLOAD_TYPE = "application/offset+octet-stream"

_INGEST = re.compile(r"/+portal_ingestion_policies/[^/]+/ingest/?")
_DATA = re.compile(r"/.+/data/?", re.DOTALL)
_BUCKET = re.compile(r"/+[^/]+/+[^/]+/+buckets/.+", re.DOTALL)
_UPLOADS = re.compile(r"/.+/uploads/?", re.DOTALL)
_UPLOAD = re.compile(r"/.+/uploads/([0-9a-f]{32})/?", re.DOTALL)
_FRAMING = re.compile(rb"\r\n(host|transfer-encoding):([^\r\n]*)", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+;=:\[\]-]*")
_DIGITS = re.compile(r"[0-9]{1,18}")
_CHUNKED_STEP = 16 * KIB
"""Of a chunked body so much is parsed at a time: the parser copies the rest for each chunk, however small."""
_CHUNK_LINE_BYTES = 16 * KIB

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerLimits:
    """How much, how many and how slow; sizes in bytes, times in seconds."""

    body_bytes: int = 64 * MIB  # of an ingestion request
    page_bytes: int = MIB  # of anything but ingestion, data and uploads
    memory_bytes: int = MIB  # of one body
    anonymous_bytes: int = 64 * KIB  # of data and ingestion without credentials
    header_deadline_s: float = 10
    body_rate_bytes_s: float = 1024  # on average over the grace, later over `idle_s`
    body_grace_s: float = 30
    idle_s: float = 60
    linger_bytes: int = 64 * MIB  # read and dropped after a refusal
    linger_s: float = 2
    maintenance_s: float = 1  # between two looks at what is too slow
    stop_s: float = 5  # for running requests to finish
    threads: int = 64
    connection_limit: int = 1000


class _SpillBuffer(OverflowableBuffer):  # type: ignore[misc]  # waitress has no types
    """A body in memory; when large in an unnamed file beside the uploads, as /tmp may be memory too."""

    buf: FileBasedBuffer | None

    def __init__(self, memory_bytes: int, uploads: Uploads) -> None:
        super().__init__(memory_bytes)
        self._uploads = uploads

    def _set_large_buffer(self) -> None:
        small, file = self.buf, TemporaryFile(dir=self._uploads.path)  # noqa: SIM115  # the buffer closes it
        self.buf = FileBasedBuffer(file, small)
        if small is not None:
            small.close()
        self.overflowed = True


class _SinkBuffer:
    """Passes a body on: what one read brought at once, however many chunks it came in."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink, self._read, self._size = sink, list[bytes](), 0

    def __len__(self) -> int:
        return self._size

    def append(self, data: bytes) -> None:
        self._read.append(data)
        self._size += len(data)

    def flush(self) -> None:
        read, self._read = self._read, []
        self._sink(b"".join(read))

    def getfile(self) -> io.BytesIO:
        return io.BytesIO()

    def close(self) -> None:
        self._read.clear()


class RequestParser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """A request as it comes in; `received` runs in the main loop, `release` and `close` in any thread."""

    body_bytes_received: int
    command: str

    def __init__(
        self, adj: Adjustments, uploads: Uploads, limits: ServerLimits, keep: Callable[[bytes], None]
    ) -> None:
        """Begin without a byte; `keep` gets what comes after the end of this request."""
        super().__init__(adj)
        self.uploads, self.limits = uploads, limits
        self.request_id = new_request_id()
        self.environ: dict[str, object] = {"haywain.request_id": self.request_id}
        self.is_upload = False
        self.is_cut = False  # the connection is gone
        self.pieces: Pieces | None = None
        self.began = self._mark_time = time.time()
        self._mark_bytes = 0
        self._writer: UploadWriter | None = None
        self._limit: int | None = None
        self._is_guarded = False  # a large body needs credentials
        self._keep = keep

    def received(self, data: bytes) -> int:
        """Take bytes; return how many. After a refusal the rest is dropped, after the end it is kept."""
        if self.is_cut:
            return len(data)
        try:
            return self._received(data)
        except HaywainError as error:
            self.refuse(error)
        except OSError as error:
            _log.exception("A body cannot be stored")
            self.refuse(TemporaryError(f"The body cannot be stored: {error.strerror}", retry_after_s=60))
        return len(data)

    def _received(self, data: bytes) -> int:
        in_body = self.headers_finished
        taken: int = super().received(data[:_CHUNKED_STEP] if self.chunked else data)
        if self.error:
            self.refuse(self.error)
            return len(data)
        if in_body:
            self._check_chunked()
            self._flush()
        elif self.headers_finished and not self.empty:
            self._admit()
        if not self.completed or self.empty:
            return taken
        self._complete()
        self._keep(data[taken:])
        return len(data)

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the headers; raise InvalidError for what two programs could understand differently."""
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a Content-Length of 5,000 digits, a URI with half an IPv6 address
            raise InvalidError(f"The request line or a header makes no sense: {error}") from error
        found = [(name.lower(), value.strip(b" \t").lower()) for name, value in _FRAMING.findall(header_plus)]
        if self.version not in ("1.0", "1.1"):
            raise InvalidError("Only HTTP/1.0 and HTTP/1.1 are understood")
        hosts = sum(name == b"host" for name, _ in found)
        if hosts > 1 or (self.version == "1.1" and not hosts):
            raise InvalidError(f"A request has one Host header, this one has {hosts}")
        if not _HOST.fullmatch(self.headers.get("HOST", "")):
            raise InvalidError("The Host header is not a host")
        if not _DIGITS.fullmatch(self.headers.get("CONTENT_LENGTH", "0")):
            raise InvalidError("Content-Length is not one number of bytes")
        encodings = [value for name, value in found if name == b"transfer-encoding"]
        if encodings and "CONTENT_LENGTH" in self.headers:
            raise InvalidError("Content-Length and Transfer-Encoding exclude each other")
        if encodings and (len(encodings) > 1 or not self.chunked or encodings[0] != b"chunked"):
            raise InvalidError("Transfer-Encoding is chunked, once, in HTTP/1.1")

    def _admit(self) -> None:
        """Choose limit and buffer, now that the headers are known, or refuse."""
        self._mark_time = time.time()
        if self.body_rcv is None:
            self.expect_continue = False  # waitress would wait for a body
        else:
            self.body_rcv.buf = _SpillBuffer(self.limits.memory_bytes, self.uploads)
        upload = _UPLOAD.fullmatch(self.path)
        override = self.headers.get("X_HTTP_METHOD_OVERRIDE")
        if upload and self.command == "POST" and override in ("PATCH", "DELETE"):
            self.command = override  # for clients that can send nothing else
        if upload and self.command == "PATCH":
            self._admit_upload(upload[1])
        elif self.command == "PUT" and _BUCKET.fullmatch(self.path):
            self._limit = BUCKET_SIZE
            self._admit_data()
        elif self._brings_data():
            self._admit_data()
        else:
            self._is_guarded = self.command == "POST" and _INGEST.fullmatch(self.path) is not None
            self._limit = self.limits.body_bytes if self._is_guarded else self.limits.page_bytes
            self._check_size(self.content_length)

    def _brings_data(self) -> bool:
        """Return whether the body is bytes for a stream, however many."""
        if self.command == "POST" and _UPLOADS.fullmatch(self.path):
            return True
        return self.command in ("PUT", "POST", "PATCH") and _DATA.fullmatch(self.path) is not None

    def _admit_data(self) -> None:
        self._is_guarded = True
        self._check_size(self.content_length)
        if self.chunked or self.content_length > self.limits.memory_bytes:
            self.uploads.check_room(self.content_length)
            self.pieces = self.uploads.temporary()
            self.environ["haywain.pieces"] = self.pieces
            self._pass_on(self.pieces.append)

    def _admit_upload(self, upload_id: str) -> None:
        self.is_upload = True
        upload = self.uploads.get(upload_id)
        if self.headers.get("TUS_RESUMABLE", TUS_VERSION) != TUS_VERSION:
            raise PreconditionError(f"Only tus {TUS_VERSION} is understood")
        if self.headers.get("CONTENT_TYPE", "").partition(";")[0].strip() != UPLOAD_TYPE:
            raise UnsupportedMediaError(f"Bytes of an upload come as {UPLOAD_TYPE}")
        if not _DIGITS.fullmatch(self.headers.get("UPLOAD_OFFSET", "")):
            raise InvalidError("Upload-Offset must say, in bytes, where this body begins")
        offset = int(self.headers["UPLOAD_OFFSET"])
        announced = self.headers.get("UPLOAD_CHECKSUM")
        checksum = Checksum(announced) if announced is not None else None
        self._writer = self.uploads.writer(upload_id, offset, checksum)
        if offset + self.content_length > upload.info.length:
            raise InvalidError(f"The upload has {upload.info.length} bytes, more were announced")
        self.uploads.check_room(self.content_length)
        self.environ |= {"haywain.upload_id": upload_id, "haywain.upload_start": offset}
        self._pass_on(self._writer.append)

    def _pass_on(self, sink: Callable[[bytes], None]) -> None:
        def checked(data: bytes) -> None:
            self.uploads.check_room(len(data))
            sink(data)

        if self.body_rcv is not None:
            self.body_rcv.buf = _SinkBuffer(checked)

    def _check_chunked(self) -> None:
        """Check what is only known as it comes."""
        if self.chunked:
            self._check_size(len(self.body_rcv))
            if len(self.body_rcv.control_line) + len(self.body_rcv.trailer) > _CHUNK_LINE_BYTES:
                raise InvalidError("A line between the chunks is too long")

    def _check_size(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise TooLargeError(f"The body may have {self._limit} bytes")
        is_anonymous = "AUTHORIZATION" not in self.headers and "COOKIE" not in self.headers
        if self._is_guarded and is_anonymous and size > self.limits.anonymous_bytes:
            raise UnauthorizedError("Log in, or send a token, before a body of this size")

    def _flush(self) -> None:
        if isinstance(self.body_rcv.buf, _SinkBuffer):
            self.body_rcv.buf.flush()

    def _complete(self) -> None:
        if self.pieces is not None:
            self.pieces.close()
        if self._writer is not None:
            self._writer.seal()
        if self.pieces is not None or self._writer is not None:
            self.headers["CONTENT_LENGTH"] = "0"  # of wsgi.input, which is empty

    def is_slow(self, now: float, since: float) -> bool:
        """Return whether the body came slower than the limit; `since` then nothing kept it from coming."""
        seconds = now - max(self._mark_time, since)
        if seconds < (self.limits.idle_s if self._mark_bytes else self.limits.body_grace_s):
            return False
        is_slow = self.body_bytes_received - self._mark_bytes < self.limits.body_rate_bytes_s * seconds
        self._mark_time, self._mark_bytes = now, self.body_bytes_received
        return is_slow

    def refuse(self, error: HaywainError | WaitressError) -> None:
        """Answer with this error instead of asking the application; read no more."""
        self.error = error
        self.completed = True
        self.expect_continue = False

    def release(self) -> None:
        """Let another connection go on with the upload."""
        if self._writer is not None:
            self._writer.close()

    def cut(self) -> None:
        """Note that the connection is gone: no byte is taken any more."""
        self.is_cut = True
        self.release()

    def close(self) -> None:
        """Give back what the request held; closing twice is fine."""
        self.release()
        if self.pieces is not None:
            self.pieces.discard()
        super().close()
