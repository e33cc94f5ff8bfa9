"""A running portal: one for all tests that leave it running, or one for a test alone."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.functional.program import Client, Make, Program


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder, removed with what a killed program left in it."""
    with TemporaryDirectory(prefix="haywain-test-") as path:
        yield Path(path)


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    """Make programs on the directory `var` of an empty folder; whatever runs at the end is killed."""
    with ExitStack() as programs:

        def new(*arguments: str, **environment: str) -> Program:
            program = Program(folder / "var", *arguments, **environment)
            programs.callback(program.kill)
            return program

        yield new


@pytest.fixture(scope="session")
def program() -> Iterator[Program]:
    """A program for all tests that leave it running; it must not have logged a failure at the end."""
    with TemporaryDirectory(prefix="haywain-test-") as path, Program(Path(path) / "var") as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log, running.log
        assert " ERROR " not in running.log, running.log


@pytest.fixture(scope="session")
def client(program: Program) -> Iterator[Client]:
    """The administrator's client of it."""
    made = program.client()
    yield made
    made.close()
