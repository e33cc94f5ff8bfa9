"""The HTTP server: waitress with our parser and channel, looking for what is slow, and with a clean stop.

Of waitress the parser, the channel's event methods and the server's `maintenance` are extended; the rest is
as it is.
"""

import logging
import resource
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from haywain.listening import listen
from haywain.store.upload import Uploads
from haywain.values import KIB
from haywain.web.channel import Channel
from haywain.web.ingest_thread import IngestThread
from haywain.web.loop import Loop
from haywain.web.parser import ServerLimits

__all__ = ["Server", "ServerLimits", "make_server"]

FILES_EACH, FILES_ELSE = 3, 512
"""Files that a connection may need, and all else."""

_log = logging.getLogger(__name__)
_queue_log = logging.getLogger("haywain.web.queue")
_queue_log.setLevel(logging.ERROR)  # waitress warns at each request that waits for a thread


class _Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    queue_logger = _queue_log


class _Serving(threading.local):
    """The channel whose request this thread answers."""

    channel: Channel | None = None


class Server(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """Listens on `effective_host`, `effective_port` from its creation to `close`."""

    channel_class = Channel
    effective_host: str
    effective_port: int
    is_stopping = False
    stays_armed = False
    _is_closed = False

    def __init__(
        self, application: WSGIApplication, sock: socket.socket, uploads: Uploads, limits: ServerLimits
    ) -> None:
        """Serve the application on a bound socket; bodies go to `uploads`."""
        self.uploads, self.limits = uploads, limits
        self.when_stopping: Callable[[], None] = lambda: None  # what else is to end, beside the requests
        self._checked = time.time()
        self._trigger_lock = threading.RLock()  # a signal's handler may run while this thread has it
        map: dict[int, Any] = {}  # Any: what waitress has in it
        self.loop, self.serving = Loop(map), _Serving()
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
            application, map, _sock=sock, bind_socket=False, dispatcher=dispatcher, adj=adj, sockinfo=address
        )
        self.trigger.stays_armed = False
        self._ingest = IngestThread(self)
        self._ingest.start()
        self.loop.touch_all()
        self.effective_port = int(self.effective_port)

    def run(self) -> None:
        """Serve until `stop`, which may have been before, or until a handler raises SystemExit; then close.

        Requests that run then may finish, for up to `stop_s` seconds.
        """
        with suppress(SystemExit, KeyboardInterrupt):
            while not self.is_stopping:
                self._turn(min(1, self.limits.maintenance_s))
        _log.info("Asked to stop")
        self.is_stopping = True
        self.when_stopping()
        wasyncore.dispatcher.close(self)
        deadline = time.monotonic() + self.limits.stop_s
        while time.monotonic() < deadline and any(c.is_busy for c in list(self.active_channels.values())):
            self._turn(0.05)
        self.close()

    def add_task(self, task: Any) -> None:  # Any: a channel with a request, or another work
        """Have a thread do it."""
        if isinstance(task, Channel) and self._ingest.wants(task):
            self._ingest.put(task)
        else:
            super().add_task(task)

    def stop(self) -> None:
        """Make `run` return; may be called from any thread and by a signal's handler, also before `run`."""
        self.is_stopping = True
        self.pull_trigger()

    def pull_trigger(self) -> None:
        """Wake the main loop, unless it is for the end of a request with which nothing is left to do.

        After `close` do nothing, as the pipe's number may be another file's.
        """
        channel = self.serving.channel
        if channel is not None:
            if channel.is_at_rest and self.loop.is_armed(channel):
                return
            self.loop.touch(channel)
        with self._trigger_lock:
            if not self.trigger._closed:
                super().pull_trigger()

    def close(self) -> None:
        """Close all connections and end the threads; closing twice is fine. Not while `run` runs."""
        if self._is_closed:
            return
        self._is_closed = self.is_stopping = True
        for channel in list(self.active_channels.values()):  # first: a thread may wait for one's client
            channel.handle_close()
        self._ingest.stop()
        self.task_dispatcher.shutdown(timeout=1)
        wasyncore.dispatcher.close(self)
        with self._trigger_lock:
            self.loop.forget(self.trigger._fileno)
            self.trigger.close()
        self.loop.close()

    def maintenance(self, now: float) -> None:
        """Look for connections that are too slow, unless it was us who were."""
        is_late = not 0 <= now - self._checked <= 5 + self.limits.maintenance_s
        self._checked = now
        for channel in list(self.active_channels.values()):
            if is_late:
                channel.free_since = now
            channel.check(now)
        self.loop.touch_all()

    def del_channel(self, map: Any = None) -> None:  # Any: as waitress has it
        """Wait no longer for new connections."""
        self.loop.forget(self._fileno)
        super().del_channel(map)

    def _turn(self, timeout_s: float) -> None:
        self.loop.touch(self)  # asked at each turn: it looks at the clock, and counts connections
        self.loop.turn(timeout_s)


def make_server(
    application: WSGIApplication, *, host: str, port: int, uploads: Uploads, limits: ServerLimits
) -> Server:
    """Return a server that listens already; port 0 picks a free one.

    Raises PortInUseError, or AddressError if this address cannot be listened on at all.
    """
    sock = listen(host, port, 1024, ("--host", "--port"))
    files = _allow_files(FILES_EACH * limits.connection_limit + FILES_ELSE)
    fitting = max((files - FILES_ELSE) // FILES_EACH, 16)
    if fitting < limits.connection_limit:
        _log.warning("only %d connections at once: the system allows %d open files", fitting, files)
        limits = replace(limits, connection_limit=fitting)
    return Server(application, sock, uploads, limits)


def _allow_files(wanted: int) -> int:
    """Raise the soft limit of open files, as far as the hard one; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)
