"""`haywain verify`: whether all bytes and objects are as they were written."""

import sys
from pathlib import Path
from typing import Any

import click

from haywain.cli.options import data_options
from haywain.cli.telling import json_option, progress_bar, size_text, tell_json
from haywain.settings import load
from haywain.soundness import verify
from haywain.store.problem import Report


@click.command("verify")
@data_options
@json_option
def command(config: Path | None, as_json: bool, **flags: Any) -> None:  # Any: as click parsed them
    """Check checksums, blobs, objects and the catalog; a portal may serve meanwhile.

    The exit code is 0 if all is sound, 1 if something is damaged.
    """
    with progress_bar() as progress:
        report = verify(load(config, **flags), progress)
    if as_json:
        tell_json(report.as_dict())
    else:
        tell(report)
    sys.exit(0 if report.ok else 1)


def tell(report: Report) -> None:
    """Print a report as lines."""
    for problem in report.problems:
        click.echo(str(problem))
    if more := report.problem_count - len(report.problems):
        click.echo(f"and {more} more")
    for note in report.notes:
        click.echo(f"note: {note}")
    checked = report.checked
    click.echo(
        f"haywain: checked {checked['transactions']} transactions, {checked['records']} states, "
        f"{checked['blobs']} blobs, {size_text(checked['payload_bytes'])} under checksums, "
        f"{checked['objects']} objects, {checked['rows']} rows of the catalog: "
        + ("sound" if report.ok else f"{report.problem_count} problems")
    )
