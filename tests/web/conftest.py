"""Servers that a test may start; each is stopped, and has left no body behind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.web.serving import Running

from haywain.store.upload import Uploads


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(uploads: Uploads | None = None, **limits: Any) -> Running:
        started.append(Running(tmp_path, uploads, **limits))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def running(serve: Callable[..., Running]) -> Running:
    return serve()
