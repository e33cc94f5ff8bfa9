"""A wire between an agent and a portal that loses what it is told to lose."""

import contextlib
import random
import socket
import threading
from typing import Self

SLOW_BYTES = 120
"""So many pass in a tenth of a second where it is slow."""

DEAD_S = 8
"""So long nothing passes where it is dead; agents give up before."""


class Wire:
    """Listens on a port of its own and passes bytes on to another; may be cut in any direction.

    Of each piece it is drawn whether it is lost, and the connection with it: a question before all of it
    has come, an answer after the portal has sent it.  Its `mode` is "", "dead" (connections stay open and
    nothing passes; what it has taken is lost with them) or "slow" (9.6 kbit/s).
    """

    def __init__(self, port: int, seed: int) -> None:
        self.to_port = port
        self.lost_questions, self.lost_answers, self.passed = 0.0, 0.0, 0
        self.mode = ""
        self._random = random.Random(seed)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        self._ended.set()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                agent, _ = self._socket.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(agent,), daemon=True).start()

    def _serve(self, agent: socket.socket) -> None:
        self._open.add(agent)
        try:
            portal = socket.create_connection(("127.0.0.1", self.to_port), 5)
        except OSError:  # killed just now
            self._close(agent)
            return
        self._open.add(portal)
        for end in (agent, portal):  # else head and body of a question, which come as two, take 40 ms
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        questions = threading.Thread(target=self._pass_questions, args=(agent, portal), daemon=True)
        questions.start()
        self._pass_answers(portal, agent)
        questions.join()
        self._close(agent, portal)

    def _pass_questions(self, agent: socket.socket, portal: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := agent.recv(1 << 16):
                if self._random.random() < self.lost_questions:
                    portal.sendall(data[: len(data) // 2])
                    break
                if not self._carry(data, portal):
                    break
        _end(agent), _end(portal)

    def _carry(self, data: bytes, portal: socket.socket) -> bool:
        """Pass bytes on as the mode says at each moment; return whether it did."""
        while data:
            if self.mode == "dead":
                self._ended.wait(DEAD_S)
                return False
            some = SLOW_BYTES if self.mode == "slow" else len(data)
            portal.sendall(data[:some])
            data = data[some:]
            if data:
                self._ended.wait(0.1)
        return True

    def cut(self) -> None:
        """End all connections there are."""
        for connection in list(self._open):
            _end(connection)

    def _pass_answers(self, portal: socket.socket, agent: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := portal.recv(1 << 16):
                if self._random.random() < self.lost_answers:
                    break
                agent.sendall(data)
                self.passed += 1
        _end(agent), _end(portal)

    def _close(self, *connections: socket.socket) -> None:
        for connection in connections:
            self._open.discard(connection)
            connection.close()


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # ended already
        connection.shutdown(socket.SHUT_RDWR)
