"""The rows of arrays: each subject in a process of its own, all at one time, one working at a time."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import isclose
from pathlib import Path
from typing import Any

import environment
from environment import LeftOutError
from measure import CannotError, FailedError, Line, in_turns
from workload import MIB, ROW_BYTES

OURS = "Haywain"
SUBJECTS = {
    OURS: "haywain_array",
    "numpy.memmap": "memmap",
    "raw file": "raw_file",
    "zarr": "zarr_array",
    "h5py": "hdf5",
    "TileDB": "tiledb_array",
    "wendelin.core": "wendelin_array",
}
"""Modules in `subjects/`."""

PEERS = ("zarr", "h5py", "TileDB", "wendelin.core")
"""Those that must be slower than we in every row."""

RESTARTED = ("wendelin.core",)
"""Those that get a new process each time: what they have read stays in memory, all of it, until they end."""

COLD = 0.01
"""Which part of its files may be in memory when a cold row begins."""


@dataclass(frozen=True)
class Row:
    """A row: which method of all subjects is timed, on which array."""

    title: str
    do: str
    on: str
    """`new`; `warm` or `cold`, opened anew; `grown`: one of its own, to which is appended."""
    memmap: float = 0.0
    """How fast we must be beside numpy.memmap."""
    uncounted: int = 1
    """Rounds that warm things up."""

    def line(self) -> Line:
        """Return its line, with what it must hold."""
        floors = dict.fromkeys(PEERS, 1.0)
        return Line(self.title, floors | ({"numpy.memmap": self.memmap} if self.memmap else {}))


ROWS = (
    Row("create", "create", "new", uncounted=0),
    Row("scan, cold", "scan", "cold", 0.8),
    Row("scan, warm", "scan", "warm", 0.9),
    Row("mean of a column, warm", "column", "warm", 0.9),
    Row("1,000 slices of 1,000 rows, cold", "slices", "cold", 0.8),
    Row("the same, warm", "slices", "warm", 0.9),
    Row("overwrite 1 %, contiguous", "overwrite", "warm", 0.9),
    Row("the same, a raw file beside it: into a new file", "overwrite_new", "warm"),
    Row("overwrite 1 %, scattered by 4 KiB", "scatter", "warm", 0.9, uncounted=0),
    Row("scan after that, warm", "scan", "warm", 0.9),
    Row("append 1 MiB, each durable", "append_large", "grown"),
    Row("append 4 KiB, durable by 64", "append_small", "grown"),
)


class Process:
    """A child process, and what it is asked."""

    def __init__(self, python: str, module: str, folder: Path, rows: int) -> None:
        """Start it."""
        script = Path(__file__).with_name("child.py")
        self._command = [python, str(script), module, str(folder), str(rows)]
        self._process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
        )

    def restart(self) -> None:
        """Begin anew, on the same files."""
        self.close()
        self._process = self._started()

    def turn_to(self, on: str) -> dict[str, Any]:  # Any: JSON
        """Open the array that a row is measured on; return how much of it is in memory."""
        if on == "new":
            return {"resident": 0.0}
        return self.ask("grow") if on == "grown" else self.ask("reopen", cold=on == "cold")

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:  # Any: JSON
        """Return its answer; raises FailedError."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            print(json.dumps({"do": do, **arguments}), file=stdin, flush=True)
            answer: dict[str, Any] = json.loads(stdout.readline() or '{"error": "it ended"}')
        except BrokenPipeError:
            answer = {"error": "it ended"}
        if "cannot" in answer:
            raise CannotError
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class Comparison:
    """All subjects at work on arrays of one size."""

    def __init__(self, processes: dict[str, Process], mib: int, rounds: int) -> None:
        """Compare processes that have nothing yet."""
        self.processes, self.mib, self.rounds = processes, mib, rounds

    def measure(self, row: Row) -> Line:
        """Measure a row."""
        line, answers = row.line(), dict[int, dict[str, Any]]()
        works: dict[str, Callable[[int], float]] = {
            name: partial(self._work, row, line, name, answers) for name in self.processes
        }
        times = in_turns(works, self.rounds, line, row.uncounted)
        line.compare(times, OURS)
        line.notes += [f"{row.title}: {text}" for text in map(_disagreement, answers.values()) if text]
        for name, found in times.items():
            print(
                f"{row.title}: {name}", *(f"{took:.4f}" for took in found), "s", file=sys.stderr, flush=True
            )
        return line

    def _work(
        self, row: Row, line: Line, name: str, answers: dict[int, dict[str, Any]], number: int
    ) -> float:
        """Prepare and do one subject's work of a round; return its seconds."""
        process = self.processes[name]
        if name in RESTARTED and row.on != "new":
            process.restart()
        before = process.turn_to(row.on)
        found = process.ask(row.do, seed=number)
        if row.on == "cold":
            is_cold = before["resident"] <= COLD and (
                row.do != "scan" or found["read"] >= 0.9 * self.mib * MIB
            )
            if not is_cold:
                line.notes.append(
                    f"{row.title}, {name}: not cold: {before['resident']:.0%} of its files were in memory, "
                    f"{found['read'] // MIB} MiB came from the disk"
                )
        answers.setdefault(number, {})[name] = found.get("answer")
        return float(found["seconds"])

    def digests(self) -> str:
        """Compare the bytes of all arrays; return what is wrong, if anything is."""
        found = {}
        for name, process in self.processes.items():
            if name in RESTARTED:
                process.restart()
            process.turn_to("warm")
            found[name] = process.ask("digest")["answer"]
        return _disagreement(found)


def _disagreement(answers: dict[str, Any]) -> str:  # Any: numbers, or None
    """Return what is wrong with answers that should be one; sums of floats may differ a little."""
    numbers = {name: value for name, value in answers.items() if value is not None}
    expected = numbers.get("raw file", 0)
    wrong = [
        name
        for name, value in numbers.items()
        if not isclose(value, expected, rel_tol=1e-5 if isinstance(value, float) else 0)
    ]
    return f"another answer than a raw file's: {', '.join(wrong)}" if wrong else ""


@contextmanager
def started(
    folder: Path, mib: int, wanted: list[str], python39: str
) -> Iterator[tuple[dict[str, Process], list[str]]]:
    """Start the subjects; hand out their processes, and lines about each, those left out included."""
    with ExitStack() as stack:
        processes, about = {}, []
        for name in SUBJECTS:
            try:
                python = _python(name, wanted, python39)
                process = Process(python, SUBJECTS[name], folder / SUBJECTS[name], mib * MIB // ROW_BYTES)
                stack.callback(process.close)
                about.append(f"{name}: {process.ask('about')['about']}")
                processes[name] = process
            except (LeftOutError, FailedError) as error:
                about.append(f"{name}: left out: {error}")
        yield processes, about


def _python(name: str, wanted: list[str], python39: str) -> str:
    """Return the Python of a subject; raises LeftOutError."""
    if name not in PEERS:
        return sys.executable
    if name not in wanted:
        raise LeftOutError("not asked for")
    return environment.wendelin(python39) if name == "wendelin.core" else environment.peers(name.lower())
