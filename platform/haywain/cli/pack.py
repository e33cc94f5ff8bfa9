"""`haywain pack`: history that is too old, and what nothing refers to, goes."""

from pathlib import Path
from typing import Any

import click

from haywain.app import open_site
from haywain.cli.options import data_options
from haywain.cli.remote import post, remote_options
from haywain.cli.telling import json_option, size_text, tell_json
from haywain.errors import DataDirectoryInUseError
from haywain.settings import Settings, load

PATH = "/api/v1/pack"


@click.command("pack")
@data_options
@remote_options
@click.option("--days", type=click.IntRange(min=0), help="Days of history to keep (default: 7).")
@json_option
def command(
    config: Path | None, url: str | None, token: str | None, days: int | None, as_json: bool, **flags: Any
) -> None:  # Any: as click parsed them
    """Remove history older than a week, and what nothing refers to any more.

    A directory in use is packed by the portal that serves it, if HAYWAIN_URL and HAYWAIN_TOKEN say where.
    """
    settings = load(config, **flags)
    try:
        found = pack(settings, days)
    except DataDirectoryInUseError as error:
        if not (url and token):
            raise DataDirectoryInUseError(
                f"{error.detail}. Or let the portal that serves pack it: set HAYWAIN_URL and HAYWAIN_TOKEN "
                f"(of a Manager) and run this again, or send POST {PATH}"
            ) from error
        found = post(url, token, PATH, **({} if days is None else {"days": str(days)}))
    if as_json:
        tell_json(found)
    else:
        tell(found)


def pack(settings: Settings, days: int | None) -> dict[str, Any]:  # Any: JSON
    """Pack the database of a directory that nobody has open; raises DataDirectoryError and its kinds."""
    site, _ = open_site(settings)
    try:
        return site.pack(days).as_dict()
    finally:
        site.close()


def tell(found: dict[str, Any]) -> None:  # Any: JSON
    """Print what a pack did."""
    click.echo(f"haywain: packed; history from before {found['until']} is gone")
    if "after" not in found:
        return
    for part, name in (("data", "Data.fs"), ("blob", "blobs")):
        before, after = (size_text(found[when][f"{part}_bytes"]) for when in ("before", "after"))
        click.echo(f"haywain: {name} {before} before, {after} now")
    live, historic = (size_text(found["after"][f"{kind}_bytes"]) for kind in ("live", "historic"))
    click.echo(f"haywain: {live} live, {historic} of history")
