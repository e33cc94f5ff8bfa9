"""A server on a real socket with an application that tells what it was given, and a client of bytes."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from email.message import Message
from http.client import parse_headers
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse

from haywain.store.upload import UploadInfo, Uploads
from haywain.values import KIB, MIB
from haywain.web.server import Server, ServerLimits, make_server

INGEST = "/portal_ingestion_policies/default/ingest?reference=a"
DATA = "/data_stream_module/1/data"
PIECE = 256 * KIB
KEY = "Authorization: Bearer x"


class Running:
    """A server in a thread, with an application that answers with what it was given."""

    def __init__(self, directory: Path, uploads: Uploads | None = None, **limits: Any) -> None:
        self.uploads = uploads or Uploads(directory / "uploads", piece_size=PIECE)
        self.crash: Exception = RuntimeError()
        self.may_go_on, self.has_begun = threading.Event(), threading.Event()
        quick: dict[str, Any] = {"maintenance_s": 0.05, "threads": 4, "linger_s": 0.5} | limits
        self.server: Server = make_server(
            self.application, host="127.0.0.1", port=0, uploads=self.uploads, limits=ServerLimits(**quick)
        )
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def application(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/crash":
            raise self.crash
        if environ["PATH_INFO"] == "/wait":
            self.has_begun.set()
            self.may_go_on.wait(10)
        if environ["PATH_INFO"] == "/large":
            start_response("200 OK", [("Content-Length", str(64 * MIB))])
            return (bytes(MIB) for _ in range(64))
        if environ["PATH_INFO"] == "/some":
            start_response("200 OK", [("Content-Length", str(4 * MIB))])
            return [bytes(4 * MIB)]
        if environ["PATH_INFO"] == "/pause":
            start_response("200 OK", [("Content-Length", str(4 * MIB + 1))])
            return self.pausing()
        seen = {name: environ.get(f"haywain.{name}") for name in ("upload_id", "upload_start", "request_id")}
        seen |= {"path": environ["PATH_INFO"], "content_length": environ.get("CONTENT_LENGTH")}
        body = environ["wsgi.input"].read()
        seen["input"] = [len(body), hash(body)]
        if "haywain.pieces" in environ:
            pieces = environ["haywain.pieces"]
            seen["pieces"] = [len(pieces.paths()), pieces.size, hash(b"".join(pieces.chunks()))]
        answer = json.dumps(seen).encode()
        start_response("200 OK", [("Content-Length", str(len(answer))), ("Content-Type", "application/json")])
        return [answer]

    def pausing(self) -> Iterable[bytes]:
        yield bytes(4 * MIB)
        self.has_begun.set()
        self.may_go_on.wait(30)
        yield b"."

    def connect(self) -> socket.socket:
        return socket.create_connection((self.server.effective_host, self.server.effective_port), timeout=10)

    def bodies(self) -> list[str]:
        return [path.name for path in self.uploads.path.iterdir() if path.name.startswith(("body-", "gone-"))]

    def new_upload(self, length: int) -> str:
        return self.uploads.create(
            UploadInfo("data_stream_module/1", length, "append", "a.wav", "admin", 0.0)
        )

    def offset(self, upload_id: str) -> int:
        return self.uploads.get(upload_id).offset

    def stop(self) -> None:
        self.may_go_on.set()
        self.server.stop()
        self.thread.join(15)
        self.server.close()
        assert not self.thread.is_alive()
        assert self.bodies() == []


def head(method: str, path: str, *headers: str, host: str = "Host: localhost") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *([host] if host else []), *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(sock: socket.socket) -> tuple[int, Message, dict[str, Any]]:
    """Read one answer and no byte more: status, headers, JSON."""
    with sock.makefile("rb", buffering=0) as file:
        status = int(file.readline().split()[1])
        headers = parse_headers(file)
        body = b""
        while len(body) < int(headers["Content-Length"]):
            part = file.read(int(headers["Content-Length"]) - len(body))
            assert part, f"the answer ends after {len(body)} bytes"
            body += part
    return status, headers, json.loads(body)


def ask(running: Running, *parts: bytes) -> tuple[int, Message, dict[str, Any]]:
    with running.connect() as sock:
        for part in parts:
            sock.sendall(part)
        return answer(sock)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        threading.Event().wait(0.005)


def is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def chunked(data: bytes, size: int) -> bytes:
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def patch(upload_id: str, offset: int, length: int, *headers: str) -> bytes:
    return head(
        "PATCH",
        f"/data_stream_module/1/uploads/{upload_id}",
        "Tus-Resumable: 1.0.0",
        f"Upload-Offset: {offset}",
        "Content-Type: application/offset+octet-stream",
        f"Content-Length: {length}",
        *headers,
    )
