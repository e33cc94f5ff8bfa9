"""Where the subjects run: ours in this Python, the peers in environments made for them alone.

Nothing of what is installed here is ever imported by Haywain.  What cannot be installed is left out of the
table, and the table says why.
"""

import glob
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-bench"


class LeftOutError(Exception):
    """A subject cannot be measured here; the message says why."""


def peers(name: str) -> str:
    """Return the Python that has a peer, named as on the package index; raises LeftOutError."""
    python = _made(FOLDER / "peers", sys.executable)
    pins = (ROOT / "benchmarks" / "peers.txt", ROOT / "constraints.txt")
    _install(python, name, "--only-binary=:all:", *(word for pin in pins for word in ("-c", str(pin))))
    _run(python, "-c", f"import {name}")
    return python


def wendelin(named: str = "") -> str:
    """Return the Python 3.9 that has wendelin.core, built here; raises LeftOutError."""
    python = _made(FOLDER / "wendelin", _python39(named))
    pins = ROOT / "benchmarks" / "wendelin.txt"
    _install(python, "setuptools", "wheel", "-c", str(pins))
    _install(python, "-r", str(pins), "--no-build-isolation")
    _run(python, "-c", "import wendelin.bigarray.array_zodb")
    return python


def _python39(named: str) -> str:
    found = [candidate for candidate in _candidates(named) if _is_python39(candidate)]
    if not found:
        raise LeftOutError("it needs a Python 3.9, and there is none: name one with --python39")
    return found[0]


def _candidates(named: str) -> Iterator[str]:
    """Yield where a Python 3.9 may be: on PATH, or one of pyenv's."""
    if named:
        yield named
    else:
        yield "python3.9"
        root = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
        yield from sorted(glob.glob(f"{root}/versions/3.9.*/bin/python3.9"))


def _is_python39(python: str) -> bool:
    """Return whether it starts and is one: a name on PATH may lead nowhere."""
    try:
        return _output(python, "-c", "import sys; print(sys.version_info[:2])") == "(3, 9)"
    except (OSError, subprocess.SubprocessError):
        return False


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _made(folder: Path, python: str) -> str:
    """Make an environment, unless it is there; return its Python."""
    inside = str(folder / "bin" / "python")
    try:
        _output(inside, "-m", "pip", "--version")
    except (OSError, subprocess.SubprocessError):
        print(f"making {FOLDER.name}/{folder.name}: it takes a minute", file=sys.stderr)
        _run(python, "-m", "venv", "--clear", str(folder))
    return inside


def _install(python: str, *what: str) -> None:
    _run(python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *what)


def _run(*command: str) -> None:
    """Run a command; raises LeftOutError with the last line that it says."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise LeftOutError(lines[-1] if lines else f"{command[0]} failed")
