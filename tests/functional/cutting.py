"""A proxy that hangs up in the middle, each time that so many bytes went through it."""

import contextlib
import socket
import threading


class CuttingProxy:
    """Stands before a port; `cuts` counts what it has cut."""

    def __init__(self, port: int, at_bytes: list[int]) -> None:
        self.cuts, self.sent = 0, 0
        self._port, self._at_bytes = port, list(at_bytes)
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        threads = []
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._socket.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open |= {client, server}
                for source, target, counts in ((client, server, True), (server, client, False)):
                    threads.append(threading.Thread(target=self._pass, args=(source, target, counts)))
                    threads[-1].start()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for one in self._open:
            one.close()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if counts and self._is_cut(len(data)):
                    break
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _is_cut(self, size: int) -> bool:
        with self._lock:
            self.sent += size
            if not self._at_bytes or self.sent < self._at_bytes[0]:
                return False
            self._at_bytes.pop(0)
            self.cuts += 1
            return True

    def __enter__(self) -> "CuttingProxy":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
