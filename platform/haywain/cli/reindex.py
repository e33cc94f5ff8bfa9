"""`haywain reindex`: the catalog, made anew from the documents."""

from pathlib import Path
from typing import Any

import click
from rich.progress import Progress

from haywain.app import open_site
from haywain.cli.options import data_options
from haywain.settings import load


@click.command("reindex")
@data_options
def command(config: Path | None, **flags: Any) -> None:  # Any: as click parsed them
    """Build the catalog anew.  A portal that serves does it by itself: POST /api/v1/reindex."""
    site, _ = open_site(load(config, **flags))
    try:
        with Progress(transient=True) as progress:
            task = progress.add_task("documents", total=None)
            count = site.reindex(lambda done: progress.update(task, completed=done))
        click.echo(f"haywain: {count} documents indexed")
    finally:
        site.close()
