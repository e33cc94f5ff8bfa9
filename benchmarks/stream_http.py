"""Read a stream over HTTP, beside nginx sending the same file by `sendfile`.

Both answer on loopback; one client reads with `recv_into` and throws the bytes away.  nginx comes from
Debian's package nginx-light.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import FailedError, Line, in_turns

import haywain

OURS, NGINX_NAME = "Haywain", "nginx sendfile"
FLOOR = 0.6
"""How fast we must be beside nginx."""
PASSWORD = "measured"  # noqa: S105  # of a server that lives for a minute on loopback
NGINX = """{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; tcp_nopush on;
client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
server {{ listen 127.0.0.1:{port}; root {folder}/files; }} }}
"""


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], port: int, **environ: str) -> Iterator[None]:
    """Run a server until the end of the block."""
    process = subprocess.Popen(
        command, env=os.environ | environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(1000):
            with socket.socket() as sock:
                if not sock.connect_ex(("127.0.0.1", port)):
                    break
            if process.poll() is not None:
                raise FailedError(f"{command[0]} ended at once, with {process.returncode}")
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def fetch(port: int, path: str, buffer: bytearray) -> float:
    """Read an answer to its end; return the seconds that a byte took."""
    login = b64encode(f"admin:{PASSWORD}".encode()).decode()
    head = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as sock:
        began = time.perf_counter()
        sock.sendall(head.encode())
        got = sock.recv_into(buffer)
        if not buffer.startswith(b"HTTP/1.1 200"):
            raise FailedError(f"it answers {bytes(buffer[:40])!r}")
        while number := sock.recv_into(buffer):
            got += number
        return (time.perf_counter() - began) / got


def fill(folder: Path, mib: int) -> str:
    """Write the bytes into a file and into a sealed stream; return the path of the stream."""
    (folder / "files").mkdir()
    os.environ["HAYWAIN_ADMIN_PASSWORD"] = PASSWORD
    with haywain.open(str(folder / "var")) as portal, open(folder / "files" / "stream", "wb") as file:
        stream = portal.new("Data Stream", reference="measured")
        for _ in range(mib // 16):
            piece = os.urandom(16 << 20)
            stream.append(piece)  # type: ignore[attr-defined]
            file.write(piece)
            portal.commit()
        job = stream.activate().seal()
        portal.commit()
        assert job.wait().state == "done", job.error
        return str(stream.path)


def measure(folder: Path, mib: int, rounds: int) -> Line:
    """Serve both, read both, compare."""
    line = Line("a stream over HTTP", {NGINX_NAME: FLOOR})
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        line.notes.append("a stream over HTTP: left out, since there is no nginx")
        return line
    user = "user root root;" if os.geteuid() == 0 else ""  # else it would read as another one
    path, ports = fill(folder, mib), (free_port(), free_port())
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=ports[1], user=user))
    serve = ["-m", "haywain", "serve", "--data", str(folder / "var"), "--port", str(ports[0])]
    ours, theirs = [sys.executable, *serve], [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    buffer = bytearray(4 << 20)
    with running(ours, ports[0]), running(theirs, ports[1]):
        works = {
            OURS: lambda number: fetch(ports[0], f"/{path}/data", buffer),
            NGINX_NAME: lambda number: fetch(ports[1], "/stream", buffer),
        }
        line.compare(in_turns(works, rounds, line), OURS)
    return line
