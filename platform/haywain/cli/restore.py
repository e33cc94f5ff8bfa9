"""`haywain restore`: a new data directory out of a backup, verified."""

import sys
from pathlib import Path
from typing import Any

import click

from haywain.cli.telling import json_option, progress_bar, tell_json
from haywain.cli.verify import tell
from haywain.errors import DataDirectoryError
from haywain.settings import load
from haywain.soundness import verify
from haywain.store.manifest import iso, parse_moment
from haywain.store.restore import restore


@click.command("restore")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="An ini file with a section [haywain].")
@click.option("--data", type=click.Path(path_type=Path), help="The new data directory (default: ./var).")
@click.option("--at", metavar="TIME", help="The last backup at or before this time, 2026-11-03T12:00 (UTC).")
@json_option
def command(dest: Path, config: Path | None, at: str | None, as_json: bool, **flags: Any) -> None:
    """Restore the backups in DEST into a new data directory, and verify that.

    The exit code is 1 if something of it is damaged.
    """
    directory = load(config, **flags).data.absolute()
    moment = None if at is None else parse_moment(at)
    try:
        with progress_bar() as progress:
            found = restore(dest, directory, moment, progress)
            report = verify(load(data=directory, database=""), progress)
    except OSError as error:
        raise DataDirectoryError(f"The restore into {directory} failed: {error}; remove it first") from error
    if as_json:
        tell_json({**found.as_dict(), "verified": report.as_dict()})
    else:
        for problem in found.problems:
            click.echo(f"problem: {problem}", err=True)
        click.echo(f"haywain: restored {directory} as of {iso(found.manifest.moment)}")
        tell(report)
    sys.exit(0 if report.ok and not found.problems else 1)
