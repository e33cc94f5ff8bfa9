"""What several machines have: a database server, a broker, Workers and portals, each to be killed alone."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeVar

import psutil
import redis
from tests.functional.program import START_S, DatabaseProgram, Program, until

from haywain.store.directory import DataDirectory

P = TypeVar("P", bound=Program)


class Redis:
    """A `redis-server` that keeps nothing, on a UNIX socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"redis+socket://{self.socket}"
        self._folder, self._process = folder, None

    _process: subprocess.Popen[bytes] | None

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        options = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            ["redis-server", *options, "--dir", str(self._folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers, "Redis")
        return self

    def client(self) -> "redis.Redis":
        """Return a client, to be closed."""
        return redis.Redis(unix_socket_path=str(self.socket))

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def flush(self) -> None:
        """Remove all that is in it."""
        with self.client() as client:
            client.flushall()

    def kill(self) -> None:
        """Kill it by SIGKILL, with all that is in it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class WorkerProgram(Program):
    """`haywain worker`; it has no address."""

    verb, ready = "worker", "haywain: worker ready"

    module = "haywain"

    @property
    def command(self) -> list[str]:
        """What the module is given."""
        return [self.verb, "--data", str(self.data), *self.arguments]

    def launch(self, port: int = 0) -> None:
        """Begin to start it."""
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, *self.command],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    @property
    def children(self) -> list[psutil.Process]:
        """The processes that it has started, those that live."""
        found = psutil.Process(self.pid).children(recursive=True)
        return [child for child in found if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

    def kill_child(self, number: int = 0) -> int:
        """Kill one of its children by SIGKILL; return its process id."""
        pid = int(self.children[number].pid)
        os.kill(pid, signal.SIGKILL)
        return pid


class Cluster:
    """All of it on one machine, in a folder; nothing is on its way yet."""

    def __init__(self, folder: Path, kinds: dict[str, str] | None = None) -> None:
        self.folder, self._kinds = folder, kinds or {}
        self._ended = ExitStack()
        self.redis = Redis(folder)
        self._ended.callback(self.redis.kill)
        self.server = DatabaseProgram(folder / "db")
        self._ended.callback(self.server.kill)

    def start(self) -> Self:
        """Start Redis and the database server."""
        self.redis.start()
        self.server.start()
        return self

    @property
    def uri(self) -> str:
        return f"{self.server.url}?wait_s=2&shared={self.server.data}/blobs"

    def worker(
        self, name: str, *arguments: str, concurrency: int = 1, is_shared: bool = True
    ) -> WorkerProgram:
        """Return a worker that does not run yet; it shares the server's blobs, or has a cache of its own."""
        uri = self.uri if is_shared else self.uri.partition("&")[0]
        given = ["--database", uri, "--broker", self.redis.url, "--concurrency", str(concurrency)]
        return self._made(WorkerProgram(self.directory(name), *given, *arguments))

    def portal(self, name: str, *arguments: str, workers: int = 0) -> Program:
        """Return a portal that does not run yet; the Workers do its work."""
        given = ["--database", self.uri, "--broker", self.redis.url, "--workers", str(workers)]
        return self._made(Program(self.directory(name), *given, *arguments))

    def directory(self, name: str) -> Path:
        """Return a directory with the kinds of work of this cluster."""
        data = self.folder / name
        directory = DataDirectory(data)
        directory.open()
        directory.close()
        (data / "activities").mkdir()
        for kind, text in self._kinds.items():
            (data / "activities" / f"{kind}.py").write_text(text)
        return data

    def _made(self, program: P) -> P:
        self._ended.callback(program.kill)
        return program

    def close(self) -> None:
        """Kill what runs."""
        self._ended.close()


def wait_for_end(pids: list[int], within_s: float = START_S) -> None:
    """Wait until no process of these is there."""
    until(lambda: not any(map(psutil.pid_exists, pids)), f"the end of {pids}", within_s)
