"""How verbs tell: a progress bar on stderr where that is a terminal, JSON or lines on stdout."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from haywain.store.verification import Progress as Tell
from haywain.store.verification import no_progress
from haywain.values import GIB, KIB, MIB

F = TypeVar("F", bound=Callable[..., Any])  # Any: whatever a verb takes


@contextmanager
def progress_bar() -> Iterator[Tell]:
    """Show what is told on a bar; where nobody can see it, nothing."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}  # Any: rich's number of a task

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total or None)

        yield tell


def json_option(function: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def tell_json(found: Mapping[str, Any]) -> None:  # Any: JSON
    """Print JSON."""
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


def size_text(size: int) -> str:
    """Return a number of bytes as people read it.

    >>> size_text(999), size_text(5 << 20)
    ('999 bytes', '5.0 MiB')
    """
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
