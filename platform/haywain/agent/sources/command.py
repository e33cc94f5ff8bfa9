"""What a command prints: run every so often, or kept running."""

import os
import shutil
import signal
import subprocess
import time
from tempfile import TemporaryFile
from typing import IO, Annotated

from msgspec import Meta

from haywain.agent.backoff import pause_s
from haywain.agent.pipe import pieces
from haywain.agent.source import Draft, Outlet, Seconds, SourceConfig
from haywain.errors import InvalidError

END_S = 2.0
"""So long a command may take to end when it is asked to."""

TOLD_BYTES = 300


class _Config(SourceConfig, kw_only=True):
    command: Annotated[list[str], Meta(min_length=1)]
    interval_s: Seconds | None = None
    timeout_s: Seconds = 60.0


class Command:
    """Sends the standard output of a command, no shell between.

    With `interval_s` the command is run that often and may take `timeout_s`; without it, it is kept
    running, and started again when it ends.
    """

    Config, fields, default_tag = _Config, (), "{host}.{source}"

    def __init__(self, config: _Config, outlet: Outlet) -> None:
        """Begin with what it prints next."""
        self._config, self._outlet = config, outlet
        self._tag = outlet.tag()

    @staticmethod
    def describe(config: _Config) -> str:
        """Say what would be run."""
        if shutil.which(config.command[0]) is None:
            raise InvalidError(f"command: there is no program {config.command[0]!r}")
        often = f"every {config.interval_s:g} s" if config.interval_s else "kept running"
        return f"what {' '.join(config.command)} prints, {often}"

    def run(self) -> None:
        """Run it until the end is wanted; with `is_once` one time."""
        failures, next_s = 0, time.monotonic()
        while not self._outlet.is_stopping():
            failures = 0 if self._run_once() else failures + 1
            if self._outlet.is_once:
                return
            if self._config.interval_s:
                next_s = max(next_s + self._config.interval_s, time.monotonic())
                wait_s = next_s - time.monotonic()
            else:
                wait_s = 1.0 + (pause_s(failures) if failures else 0.0)
            self._outlet.wait(wait_s)

    def _run_once(self) -> bool:
        """Run the command, send what it prints, and return whether it succeeded."""
        with TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    self._config.command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as error:
                self._outlet.trouble(f"{self._config.command[0]} cannot be run: {error.strerror}")
                return False
            with process:
                is_late = self._read(process)
            return self._judge(process.returncode, is_late, errors)

    def _read(self, process: "subprocess.Popen[bytes]") -> bool:
        """Send what it prints; end it when it is late, which is returned, or when the agent is to stop."""
        assert process.stdout is not None
        limit_s = self._config.timeout_s if self._config.interval_s or self._outlet.is_once else float("inf")
        deadline_s = time.monotonic() + limit_s

        def is_over() -> bool:
            return self._outlet.is_stopping() or time.monotonic() > deadline_s

        for piece in pieces(process.stdout.fileno(), self._config.frame_bytes, is_over):
            self._outlet.put(Draft(self._tag, piece))
        is_late = is_over() and not self._outlet.is_stopping()
        if is_over():
            _end(process)
            end_s = time.monotonic() + END_S
            for piece in pieces(
                process.stdout.fileno(), self._config.frame_bytes, lambda: time.monotonic() > end_s
            ):
                self._outlet.put(Draft(self._tag, piece))
        return is_late

    def _judge(self, code: int, is_late: bool, errors: IO[bytes]) -> bool:
        name = self._config.command[0]
        if is_late:
            self._outlet.trouble(f"{name} took longer than {self._config.timeout_s:g} s and was ended")
        elif code and not self._outlet.is_stopping():
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - TOLD_BYTES))
            said = " ".join(errors.read().decode(errors="replace").split())
            self._outlet.trouble(f"{name} ended with {code}: {said}")
        else:
            self._outlet.fine()
        return not is_late and not code


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command and what it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(END_S)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
