"""The process of one subject: does what it is told on stdin, and says on stdout how long that took.

    python benchmarks/child.py MODULE FOLDER ROWS

A request is a line of JSON, {"do": name, ...}, and so is the answer.  Runs on Python 3.9 too.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import cold
from subject import Subject
from workload import Workload

Answer = dict[str, Any]
"""JSON."""


class Child:
    """Serves one subject: its array, and beside it one that grows."""

    def __init__(self, module: str, folder: Path, rows: int) -> None:
        """Import the subject's module; it has one class, named `Kept`."""
        self.kind = importlib.import_module(f"subjects.{module}").Kept
        self.folder, self.work = folder, Workload(rows)
        self.subject: Subject | None = None

    def do(self, request: Answer) -> Answer:
        """Carry out a request."""
        name = request["do"]
        done = getattr(self, f"do_{name}", None)
        return done(request) if done else self.timed(name, request)

    def timed(self, name: str, request: Answer) -> Answer:
        """Call a method of the subject."""
        before = cold.read_from_disk()
        began = time.perf_counter()
        answer = getattr(self.subject, name)(request["seed"])
        took = time.perf_counter() - began
        return {"seconds": took, "answer": answer, "read": cold.read_from_disk() - before}

    def do_about(self, request: Answer) -> Answer:
        """Say which version it is."""
        return {"about": self.kind.about()}

    def do_create(self, request: Answer) -> Answer:
        """Create the array, whose former self is removed; the time is that of filling it."""
        self._leave()
        shutil.rmtree(self.folder / "whole", ignore_errors=True)
        self._enter("whole")
        self.subject.begin(self.work.rows)
        self.subject.settle()
        began = time.perf_counter()
        self.subject.create()
        return {"seconds": time.perf_counter() - began}

    def do_grow(self, request: Answer) -> Answer:
        """Go to the array that grows, which is made at first."""
        self._leave()
        is_new = not (self.folder / "grown").exists()
        self._enter("grown")
        if is_new:
            self.subject.begin(0)
            self.subject.settle()
        else:
            self.subject.open()
        return {}

    def do_reopen(self, request: Answer) -> Answer:
        """Open the array anew, after its files were dropped from the page cache or read into it."""
        self._leave()
        self._enter("whole")
        files = self.subject.files()
        (cold.drop if request["cold"] else cold.warm)(files)
        found = {"resident": cold.resident(files), "bytes": sum(path.stat().st_size for path in files)}
        self.subject.open()
        return found

    def do_digest(self, request: Answer) -> Answer:
        """Return a sum over all bytes."""
        return {"answer": self.subject.digest()}

    def _enter(self, name: str) -> None:
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.subject = self.kind(self.folder / name, self.work)

    def _leave(self) -> None:
        if self.subject is not None:
            self.subject.close()
        self.subject = None
        gc.collect()


def main(module: str, folder: str, rows: str) -> None:
    """Serve until stdin ends."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what a library prints is no answer
        child = Child(module, Path(folder), int(rows))
        for line in sys.stdin:
            try:
                answer = child.do(json.loads(line))
            except NotImplementedError:
                answer = {"cannot": True}
            except Exception as error:  # its row has no figure, the others have
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
