"""A connection: its requests one at a time, its deadlines, and refusals that reach the client.

After a refusal the connection is read for a moment more: closed at once, the kernel would reset it, and a
client that is still sending would lose the answer.  What is too slow is looked for about once a second in the
main loop; no thread waits for a client, but that of an answer too large to be buffered.
"""

import socket
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error as WaitressError

from haywain.errors import HaywainError
from haywain.web.outgoing import WORD, outgoing
from haywain.web.parser import TUS_VERSION, RequestParser
from haywain.web.problems import headers_of, problem_body

if TYPE_CHECKING:
    from haywain.web.server import Server

FORWARDED = "haywain.forwarded"
"""Name in the WSGI environment: whether a proxy asks for somebody else; its headers are not believed."""

_FORWARDING = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_VIA",
)

Headers = list[tuple[str, str]]


class RequestTimeoutError(HaywainError):
    """The request came too slowly."""

    status, exit_code, title = 408, 75, "Request timeout"


class _PortalTask(WSGITask):  # type: ignore[misc]  # waitress has no types
    """Asks the application."""

    def get_environment(self) -> dict[str, Any]:  # Any: as WSGI has it
        """Return the WSGI environment with our own words in it."""
        found: dict[str, Any] = super().get_environment()
        found.update(self.request.environ)
        found[WORD] = outgoing
        found[FORWARDED] = any(name in found for name in _FORWARDING)
        return found

    def build_response_header(self) -> bytes:
        """Let go of the upload first: the client may send its next bytes as soon as it has the answer."""
        self.request.release()
        return cast(bytes, super().build_response_header())


class _ProblemTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Answers an error as problem+json (RFC 9457) and closes the connection."""

    def execute(self) -> None:
        """Write the answer."""
        self.channel.lingers = True
        self.set_close_on_finish()
        running = next(iter(self.channel.requests), self.request)  # after a crash ours is a stand-in
        running.release()
        self.status, headers, body = _problem(self.request.error, running)
        self.response_headers.extend(headers)
        self.content_length = len(body)
        self.write(body)


def _problem(error: HaywainError | WaitressError, request: RequestParser) -> tuple[str, Headers, bytes]:
    """Return status line, headers and body of the answer."""
    if isinstance(error, HaywainError):
        status, title, detail, headers = error.status, error.title, error.detail, headers_of(error)
    else:
        status, title, detail, headers = error.code, error.reason, str(error.body), []
    headers += [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    if request.is_upload:
        names = ("Tus-Resumable", "Tus-Version") if status == 412 else ("Tus-Resumable",)
        headers += [(name, TUS_VERSION) for name in names]
    return f"{status} {title}", headers, problem_body(status, title, detail, request.request_id)


@dataclass(frozen=True)
class _Removal:
    """Takes the files of a cut request away, in a thread: of 100 GB there are 1,600."""

    request: RequestParser

    def service(self) -> None:
        """Run as a task."""
        self.request.close()

    cancel = service


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A connection: one request at a time, whose answer is out before the next is parsed."""

    task_class = _PortalTask
    error_task_class = _ProblemTask
    request: RequestParser | None
    requests: list[RequestParser]
    will_close: bool
    last_activity: float
    stays_armed = True  # while a request runs: it is answered before the next one comes, nearly always
    lingers = False  # the answer is a refusal: a body may still come
    _has_spoken = False
    _ahead = b""  # what came after the request that is being answered
    _linger_until: float | None = None
    _linger_left = 0

    def __init__(self, server: "Server", sock: socket.socket, addr: Any, adj: Adjustments, map: Any) -> None:
        self.limits = server.limits
        self.parser_class = partial(
            RequestParser, uploads=server.uploads, limits=server.limits, keep=self._keep
        )
        self.free_since = time.time()  # since then nothing but the client is waited for
        self._sent_all = self.free_since  # when a look last found nothing to send
        super().__init__(server, sock, addr, adj, map=map)

    @property
    def is_busy(self) -> bool:
        """Whether a request runs or its answer is not sent yet."""
        return bool(self.requests or self.total_outbufs_len or self.close_when_flushed)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is left to do or to say."""
        return not (self.is_busy or self.will_close or self.lingers or self._ahead)

    def service(self) -> None:
        """Answer a request; run by a thread, which the server knows meanwhile."""
        self.server.serving.channel = self
        try:
            super().service()
        finally:
            self.server.serving.channel = None

    def add_channel(self, map: Any = None) -> None:  # Any: as waitress has it
        """Be known to the main loop."""
        super().add_channel(map)
        self.server.loop.touch(self)

    def del_channel(self, map: Any = None) -> None:  # Any: as above
        """Be forgotten by the main loop, before the socket is closed."""
        if self._fileno is not None:
            self.server.loop.forget(self._fileno)
        super().del_channel(map)

    def readable(self) -> bool:
        """Return whether to wait for bytes: asked after each event.  Requests sent ahead go on here."""
        if self._linger_until is not None:
            return True
        if self.server.is_stopping:
            return False
        while self._ahead and not self.is_busy and self.connected:
            self.received(b"")
        return bool(super().readable())

    def received(self, data: bytes) -> bool:
        """Parse bytes up to the end of one request.

        Waitress would parse all that came: 10,000 small requests in one read, each kept as an object, and
        their answers, of which a thread would wait for the client to take the first 16 MiB.
        """
        data, self._ahead = self._ahead + data, b""
        return bool(super().received(data))

    def _keep(self, ahead: bytes) -> None:
        self._ahead = ahead

    def writable(self) -> bool:
        """Return whether there is something to send or to close."""
        return self._linger_until is None and bool(super().writable())

    def handle_read(self) -> None:
        """Read a request, or drop what comes after a refusal."""
        if self._linger_until is None:
            self._has_spoken = True
            super().handle_read()
            return
        try:
            data = self.recv(self.adj.recv_bytes)
        except OSError:
            data = b""
        self._linger_left -= len(data)
        if not data or self._linger_left <= 0:
            self.handle_close()

    def handle_write(self) -> None:
        """Send; after a refusal then stop sending but not reading."""
        if not (self.lingers and self.close_when_flushed):
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.will_close:
            self.handle_close()
        elif self.connected and not self.total_outbufs_len:
            self._linger()

    def _linger(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.handle_close()
            return
        self.close_when_flushed = False
        self._linger_left = self.limits.linger_bytes
        self._linger_until = time.time() + self.limits.linger_s

    def handle_close(self) -> None:
        """Close; a body that was cut is given up, but what an upload got stays."""
        super().handle_close()
        request = self.request
        if request is None or request.is_cut:
            return
        request.cut()
        if request.pieces is None or self.server.is_stopping:
            request.close()
        else:
            self.server.add_task(_Removal(request))

    def cancel(self) -> None:
        """Give up the requests that no thread has begun."""
        for request in self.requests:
            request.close()
        super().cancel()

    def check(self, now: float) -> None:
        """Close or refuse what is too slow; the main loop calls it about once a second.

        It closes at once: waitress's `will_close` waits for a socket that a client who does not read
        never makes writable.
        """
        if not self.total_outbufs_len:
            self._sent_all = now
        if self._is_over(now):
            self.handle_close()
        elif self.is_busy:
            self.free_since = now
        elif self.request is not None and self._linger_until is None:
            self._check_request(self.request, now)

    def _is_over(self, now: float) -> bool:
        """Return whether the client was waited for long enough, and nothing is to be said to it."""
        if self._linger_until is not None:
            return now > self._linger_until
        if self.is_busy:  # not only since the last byte: an answer may be made long after it
            return now - max(self.last_activity, self._sent_all) > self.limits.idle_s
        patience = self.limits.idle_s if self._has_spoken else self.limits.header_deadline_s
        return self.request is None and now - max(self.last_activity, self.free_since) > patience

    def _check_request(self, request: RequestParser, now: float) -> None:
        if not request.headers_finished:
            if now - max(request.began, self.free_since) > self.limits.header_deadline_s:
                self._refuse(f"The headers took more than {self.limits.header_deadline_s:g} seconds")
        elif request.is_slow(now, self.free_since):
            self._refuse(f"The body came slower than {self.limits.body_rate_bytes_s:g} bytes a second")

    def _refuse(self, detail: str) -> None:
        with self.requests_lock:
            request, self.request = self.request, None
            assert request is not None
            request.refuse(RequestTimeoutError(detail))
            self.requests.append(request)
            self.server.add_task(self)
