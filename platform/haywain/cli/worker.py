"""`haywain worker`: processes that run the activities of a database that others serve."""

import sys
from pathlib import Path
from typing import Any

import click

from haywain.cli.logs import set_up_logs
from haywain.cli.options import data_options
from haywain.settings import load


@click.command("worker")
@data_options
@click.option("--broker", metavar="URL", help="What wakes it: redis://HOST:PORT.")
@click.option("--queues", metavar="A,B", help="Run activities of these queues only (default: of all).")
@click.option("--concurrency", type=int, help="How many processes (default: as many as cores).")
def command(config: Path | None, **flags: Any) -> None:  # Any: as click parsed them
    """Run activities; when it is ready it says so.  SIGTERM stops it cleanly."""
    set_up_logs()
    settings = load(config, **flags)
    from haywain.worker import run  # Celery is imported by nobody else

    sys.exit(run(settings))
