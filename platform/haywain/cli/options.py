"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def data_options(function: F) -> F:
    """Add --data, --database and --config."""
    for option in (
        click.option(
            "--config", type=click.Path(path_type=Path), help="An ini file with a section [haywain]."
        ),
        click.option("--database", metavar="URI", help="The object database: file:DIR or zeo://HOST:PORT."),
        click.option("--data", type=click.Path(path_type=Path), help="The data directory (default: ./var)."),
    ):
        function = option(function)
    return function


def address_options(function: F) -> F:
    """Add --host and --port."""
    port = click.option("--port", type=int, help="Port to listen on; 0 picks a free one (default: 8080).")
    return click.option("--host", help="Address to listen on (default: 127.0.0.1).")(port(function))
