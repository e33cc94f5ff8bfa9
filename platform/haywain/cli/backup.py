"""`haywain backup`: the database and its blobs, into another directory."""

import sys
from pathlib import Path
from typing import Any

import click

from haywain.cli.options import data_options
from haywain.cli.telling import json_option, progress_bar, size_text, tell_json
from haywain.errors import DataDirectoryError
from haywain.settings import load
from haywain.soundness import database_folder
from haywain.store.backup import Backup

PARTLY = 3


@click.command("backup")
@click.argument("dest", type=click.Path(path_type=Path))
@data_options
@click.option("--full", is_flag=True, help="Back up everything, also what is in DEST already.")
@json_option
def command(dest: Path, config: Path | None, full: bool, as_json: bool, **flags: Any) -> None:
    """Back up to the directory DEST what it does not have yet; a portal may serve meanwhile.

    The exit code is 3 if something could not be read: the rest is backed up.
    """
    settings = load(config, **flags)
    folder = database_folder(settings)
    if folder is None:
        raise DataDirectoryError(f"{settings.database} is on a server: back up where the files of that are")
    try:
        with progress_bar() as progress:
            done = Backup(folder, settings.data.absolute(), dest, progress).run(full)
    except OSError as error:
        raise DataDirectoryError(
            f"The backup to {dest} failed: {error}; it goes on when run again"
        ) from error
    if as_json:
        tell_json(done.as_dict())
    else:
        for problem in done.problems:
            click.echo(f"problem: {problem}", err=True)
        what = f"{done.kind} backup {done.manifest.stamp}"
        click.echo(f"haywain: {what}, {size_text(done.copied_bytes)} and {len(done.manifest.blobs)} blobs")
    sys.exit(PARTLY if done.problems else 0)
