"""`haywain agent` in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

START_S = 30


class AgentProgram:
    """An agent by a configuration; can be stopped, killed, held and started again."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.errors = config.with_suffix(".stderr")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> Self:
        """Start it; it need not be ready yet."""
        command = [sys.executable, "-m", "haywain", "agent", "--config", str(self.config), *arguments]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
        return self

    @property
    def log(self) -> str:
        """What it wrote to stderr so far, over all starts."""
        return self.errors.read_text(encoding="utf-8") if self.errors.exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def wait(self, within_s: float = START_S) -> int:
        """Wait until it ends; return its exit code."""
        process, self.process = self.process, None
        return 0 if process is None else process.wait(within_s)

    def stop(self) -> int:
        """Stop it by SIGTERM; return its exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill it by SIGKILL, if it runs."""
        if self.process is not None:
            self.send(signal.SIGKILL)
            self.wait()
