"""Read a stream over HTTP, beside nginx sending the same file by `sendfile`.

    python benchmarks/stream_http.py [MIB] [ROUNDS]

Both answer on loopback, one client reads with `recv_into` and throws the bytes away; the rounds alternate and
each figure is the ratio of the medians as speeds.  nginx comes from Debian's package nginx-light.
"""

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import haywain

PASSWORD = "measured"  # noqa: S105  # of a server that lives for a minute on loopback
NGINX = """daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
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
                raise SystemExit(f"{command[0]} ended at once, with {process.returncode}")
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def fetch(port: int, path: str, buffer: bytearray) -> float:
    """Read an answer to its end; return how many bytes a second came."""
    login = b64encode(f"admin:{PASSWORD}".encode()).decode()
    head = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as sock:
        began = time.perf_counter()
        sock.sendall(head.encode())
        got = sock.recv_into(buffer)
        assert bytes(buffer[:12]) == b"HTTP/1.1 200", bytes(buffer[:200])
        while number := sock.recv_into(buffer):
            got += number
        return got / (time.perf_counter() - began)


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


def main(mib: int = 1024, rounds: int = 7) -> None:
    """Serve both, read both, compare."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    buffer, ports = bytearray(4 << 20), (free_port(), free_port())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx reads as another user
        path = fill(folder, mib)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=ports[1]))
        ours = [
            sys.executable,
            "-m",
            "haywain",
            "serve",
            "--data",
            str(folder / "var"),
            "--port",
            str(ports[0]),
        ]
        theirs = [nginx, "-p", name, "-c", str(folder / "nginx.conf")]
        with running(ours, ports[0]), running(theirs, ports[1]):
            urls = {"haywain": (ports[0], f"/{path}/data"), "nginx": (ports[1], "/stream")}
            found: dict[str, list[float]] = {name: [] for name in urls}
            for number in range(rounds + 1):
                for name, (port, url) in list(urls.items())[:: 1 if number % 2 else -1]:
                    speed = fetch(port, url, buffer)
                    if number:
                        found[name].append(speed)
    medians = {name: statistics.median(speeds) for name, speeds in found.items()}
    print(f"stream over HTTP   {medians['haywain'] / medians['nginx']:5.2f}x of nginx sendfile", end="")
    print(f"   ({medians['haywain'] / (1 << 30):.2f} GiB/s)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
