"""A wire between an agent and a portal that loses what it is told to lose."""

import contextlib
import random
import socket
import threading
from typing import Self


class Wire:
    """Listens on a port of its own and passes bytes on to another; may be cut in any direction.

    Of each piece it is drawn whether it is lost, and the connection with it: a question before all of it
    has come, an answer after the portal has sent it.
    """

    def __init__(self, port: int, seed: int) -> None:
        self.to_port = port
        self.lost_questions, self.lost_answers, self.passed = 0.0, 0.0, 0
        self._random = random.Random(seed)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for connection in list(self._open):
            _end(connection)

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
                portal.sendall(data)
        _end(agent), _end(portal)

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
