"""The HTTP server: waitress, with deadlines, our parser, and refusals that reach the client.

After a refusal the connection is read for a moment more: closed at once, the kernel would reset it, and a
client that is still sending would lose the answer.  What is too slow is looked for about once a second in the
main loop; no thread waits for a client.  Of waitress the parser, the channel's event methods and the
server's `maintenance` are extended; the rest is as it is.
"""

import errno
import logging
import resource
import socket
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from wsgiref.types import WSGIApplication

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask
from waitress.utilities import Error as WaitressError

from haywain.errors import AddressError, HaywainError, PortInUseError
from haywain.store.upload import Uploads
from haywain.values import KIB
from haywain.web.parser import TUS_VERSION, RequestParser, ServerLimits
from haywain.web.problems import headers_of, problem_body

__all__ = ["RequestTimeoutError", "Server", "ServerLimits", "make_server"]

Headers = list[tuple[str, str]]

_log = logging.getLogger(__name__)
_queue_log = logging.getLogger("haywain.web.queue")
_queue_log.setLevel(logging.ERROR)  # waitress warns at each request that waits for a thread


class RequestTimeoutError(HaywainError):
    """The request came too slowly."""

    status, exit_code, title = 408, 75, "Request timeout"


class _PortalTask(WSGITask):  # type: ignore[misc]  # waitress has no types
    """Asks the application."""

    def get_environment(self) -> dict[str, Any]:  # Any: as WSGI has it
        """Return the WSGI environment with our own words in it."""
        found: dict[str, Any] = super().get_environment()
        found.update(self.request.environ)
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
        headers.append(("Tus-Resumable", TUS_VERSION))
    return f"{status} {title}", headers, problem_body(status, title, detail, request.request_id)


@dataclass(frozen=True)
class _Removal:
    """Takes the files of a cut request away, in a thread: of 100 GB there are 1,600."""

    request: RequestParser

    def service(self) -> None:
        """Run as a task."""
        self.request.close()

    cancel = service


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A connection."""

    task_class = _PortalTask
    error_task_class = _ProblemTask
    request: RequestParser | None
    requests: list[RequestParser]
    will_close: bool
    last_activity: float
    lingers = False  # the answer is a refusal: a body may still come
    _has_spoken = False
    _linger_until: float | None = None
    _linger_left = 0

    def __init__(self, server: "Server", sock: socket.socket, addr: Any, adj: Adjustments, map: Any) -> None:
        self.limits = server.limits
        self.parser_class = partial(RequestParser, uploads=server.uploads, limits=server.limits)
        self.free_since = time.time()  # since then nothing but the client is waited for
        super().__init__(server, sock, addr, adj, map=map)

    @property
    def is_busy(self) -> bool:
        """Whether a request runs or its answer is not sent yet."""
        return bool(self.requests or self.total_outbufs_len or self.close_when_flushed)

    def readable(self) -> bool:
        """Return whether to wait for bytes."""
        if self._linger_until is not None:
            return True
        return not self.server.is_stopping and bool(super().readable())

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
        if self._linger_until is not None:
            if now > self._linger_until:
                self.handle_close()
        elif self.is_busy:
            self.free_since = now
            if self.total_outbufs_len and now - self.last_activity > self.limits.idle_s:
                self.handle_close()
        elif self.request is None:
            patience = self.limits.idle_s if self._has_spoken else self.limits.header_deadline_s
            if now - max(self.last_activity, self.free_since) > patience:
                self.handle_close()
        elif not self.request.headers_finished:
            if now - max(self.request.began, self.free_since) > self.limits.header_deadline_s:
                self._refuse(f"The headers took more than {self.limits.header_deadline_s:g} seconds")
        elif self.request.is_slow(now, self.free_since):
            self._refuse(f"The body came slower than {self.limits.body_rate_bytes_s:g} bytes a second")

    def _refuse(self, detail: str) -> None:
        with self.requests_lock:
            request, self.request = self.request, None
            assert request is not None
            request.refuse(RequestTimeoutError(detail))
            self.requests.append(request)
            self.server.add_task(self)


class _Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    queue_logger = _queue_log


class Server(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """Listens on `effective_host`, `effective_port` from its creation to `close`."""

    channel_class = _Channel
    effective_host: str
    effective_port: int
    is_stopping = False
    _is_closed = False

    def __init__(
        self, application: WSGIApplication, sock: socket.socket, uploads: Uploads, limits: ServerLimits
    ) -> None:
        """Serve the application on a bound socket; bodies go to `uploads`."""
        self.uploads, self.limits = uploads, limits
        self._checked = time.time()
        self._trigger_lock = threading.Lock()
        adj = Adjustments(
            sockets=[sock],
            threads=limits.threads,
            connection_limit=limits.connection_limit,
            ident="haywain",
            recv_bytes=256 * KIB,
            max_request_body_size=1 << 62,
            clear_untrusted_proxy_headers=True,
        )
        adj.cleanup_interval = limits.maintenance_s  # Adjustments would cut it to whole seconds
        dispatcher = _Dispatcher()
        dispatcher.set_thread_count(limits.threads)
        address = (sock.family, sock.type, sock.proto, sock.getsockname())
        super().__init__(
            application, {}, _sock=sock, bind_socket=False, dispatcher=dispatcher, adj=adj, sockinfo=address
        )
        self.effective_port = int(self.effective_port)

    def run(self) -> None:
        """Serve until `stop`, or until a signal handler raises SystemExit or KeyboardInterrupt; then close.

        Requests that run then may finish, for up to `stop_s` seconds.
        """
        try:
            while not self.is_stopping:
                self._turn(min(1, self.limits.maintenance_s))
        except (SystemExit, KeyboardInterrupt):
            _log.info("Asked to stop")
        self.is_stopping = True
        wasyncore.dispatcher.close(self)
        deadline = time.monotonic() + self.limits.stop_s
        while time.monotonic() < deadline and any(c.is_busy for c in list(self.active_channels.values())):
            self._turn(0.05)
        self.close()

    def stop(self) -> None:
        """Make `run` return; may be called from any thread."""
        self.is_stopping = True
        self.pull_trigger()

    def pull_trigger(self) -> None:
        """Wake the main loop; after `close` do nothing, as the pipe's number may be another file's."""
        with self._trigger_lock:
            if not self.trigger._closed:
                super().pull_trigger()

    def close(self) -> None:
        """Close all connections and end the threads; closing twice is fine. Not while `run` runs."""
        if self._is_closed:
            return
        self._is_closed = self.is_stopping = True
        self.task_dispatcher.shutdown(timeout=1)
        for channel in list(self.active_channels.values()):
            channel.handle_close()
        wasyncore.dispatcher.close(self)
        with self._trigger_lock:
            self.trigger.close()

    def maintenance(self, now: float) -> None:
        """Look for connections that are too slow, unless it was us who were."""
        is_late = not 0 <= now - self._checked <= 5 + self.limits.maintenance_s
        self._checked = now
        for channel in list(self.active_channels.values()):
            if is_late:
                channel.free_since = now
            channel.check(now)

    def _turn(self, timeout_s: float) -> None:
        wasyncore.loop(timeout=timeout_s, use_poll=True, map=self._map, count=1)


def make_server(
    application: WSGIApplication, *, host: str, port: int, uploads: Uploads, limits: ServerLimits
) -> Server:
    """Return a server that listens already; port 0 picks a free one.

    Raises PortInUseError, or AddressError if this address cannot be listened on at all.
    """
    sock = _listen(host, port)
    _allow_files(3 * limits.connection_limit + 512)
    return Server(application, sock, uploads, limits)


def _listen(host: str, port: int) -> socket.socket:
    """Bind to the first address of the host, IPv4 before IPv6."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"The host {host!r} cannot be resolved; name another with --host") from error
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise _address_error(host, port, error) from error
    return sock


def _address_error(host: str, port: int, error: OSError) -> HaywainError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(f"Port {port} of {host} is in use by another program; name another with --port")
    if error.errno == errno.EACCES:
        return AddressError(f"This user may not listen on port {port} of {host}; name one from 1024 on")
    return AddressError(f"Cannot listen on {host}, port {port}: {error.strerror}")


def _allow_files(wanted: int) -> None:
    """Raise the soft limit of open files, as far as the hard one: a connection may need three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
