"""The listener of the forward protocol: a thread for each connection, and so many of them.

A heartbeat is a connection that is closed again.  When there are as many connections as may be, the one that
said nothing for the longest time makes room: first among those that never said anything.
"""

import logging
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from haywain.forward.connection import Connection
from haywain.forward.event import Deliver, Reject
from haywain.forward.handshake import Security
from haywain.forward.limits import Budget, ForwardLimits
from haywain.listening import listen

_WAKE_S = 1.0
_TROUBLE_PAUSE_S = 0.1
_log = logging.getLogger(__name__)


class Listener:
    """Listens on `host` and `port` from its creation, and takes events from `start` to `stop`.

    `deliver(tag, body, chunk_id)` is called in several threads.  The body is concatenated msgpack
    `[time, record]`.  When it returns, the events are acknowledged; when it raises, they are not.
    """

    def __init__(
        self,
        deliver: Deliver,
        *,
        host: str = "127.0.0.1",
        port: int = 24224,
        security: Security | None = None,
        reject: Reject | None = None,
        limits: ForwardLimits | None = None,
    ) -> None:
        """Bind; port 0 picks a free one.  Raises PortInUseError, AddressError.

        Without `security` it takes what anybody sends.  `reject` keeps events that cannot be decompressed;
        without it they are refused, and the client sends them again and again.
        """
        self._limits = limits or ForwardLimits()
        self._budget = Budget(self._limits.memory_bytes, self._limits.room_s)
        self._served: dict[str, Any] = {  # Any: keyword arguments of several types
            "deliver": deliver, "reject": reject, "security": security,
            "limits": self._limits, "budget": self._budget,
        }  # fmt: skip
        self._socket = listen(host, port, 256, ("forward_host", "forward_port"))
        self.host, self.port = self._socket.getsockname()[:2]
        self._connections: dict[Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._accept_all, name="forward", daemon=True)

    def start(self) -> None:
        """Take connections, in threads."""
        self._thread.start()
        _log.info("forward: listening on %s, port %d", self.host, self.port)

    def ask_to_stop(self) -> None:
        """Take no more connections and messages; what is being handed on goes on.  Returns at once."""
        self._stopping.set()
        with suppress(OSError):  # wakes `accept` where the system does that, else the timeout does
            self._socket.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for connection in self._connections:
                connection.close()

    def stop(self, within_s: float = 5) -> None:
        """Stop, and wait for what is being handed on; stopping twice is fine, also without a start."""
        self.ask_to_stop()
        deadline = time.monotonic() + within_s
        with self._lock:
            threads = list(self._connections.values())
        for thread in [self._thread, *threads] if self._thread.ident else []:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._socket.close()

    def _accept_all(self) -> None:
        self._socket.settimeout(_WAKE_S)
        while not self._stopping.is_set():
            try:
                sock, address = self._socket.accept()
            except TimeoutError:
                continue
            except OSError as error:  # the client went, no file may be opened, or it is the end
                if not self._stopping.wait(_TROUBLE_PAUSE_S):
                    _log.warning("forward: no connection can be taken: %s", error)
                continue
            self._begin(sock, f"{address[0]}:{address[1]}")

    def _begin(self, sock: socket.socket, name: str) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection = Connection(sock, name, **self._served)
        thread = threading.Thread(target=self._run, args=(connection,), name="forward-client", daemon=True)
        with self._lock:
            if self._stopping.is_set() or not self._has_room():
                sock.close()
                return
            self._connections[connection] = thread
        try:
            thread.start()
        except RuntimeError as error:  # there are too many threads: this client comes again, others go on
            _log.warning("forward: no connection can be taken: %s", error)
            sock.close()
            with self._lock:
                del self._connections[connection]

    def _run(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            with self._lock:
                del self._connections[connection]

    def _has_room(self) -> bool:
        """Return whether one more connection may be taken; make room if none may."""
        if len(self._connections) < self._limits.connections:
            return True
        idle = [
            (connection.incoming.has_spoken, since, connection)
            for connection in self._connections
            if (since := connection.incoming.idle_since) is not None
        ]
        if not idle or len(self._connections) >= 2 * self._limits.connections:
            _log.warning("forward: there are %d connections, no more are taken", len(self._connections))
            return False
        min(idle, key=lambda one: one[:2])[2].close()
        return True
