"""`haywain activities`: list what a portal does in the background, show, follow, cancel, retry it."""

from collections.abc import Callable
from functools import partial

import click

from haywain.cli.following import Work, address_of, follow, state_of, tell_end
from haywain.cli.remote import F, Remote, remote_options
from haywain.cli.telling import json_option, tell_json
from haywain.errors import HaywainError

API = "/api/v1/activities"
PARTLY = 3


def _filters(function: F) -> F:
    """Add the options by which activities are chosen."""
    for name, help in (
        ("user", "Of this user."),
        ("method", "Of this method, such as statistics."),
        ("path", "On the document at this path."),
        ("tag", "With this tag."),
        ("state", "queued, running, done, failed or cancelled."),
    ):
        function = click.option(f"--{name}", default="", help=help)(function)
    return function


@click.group("activities", invoke_without_command=True)
@_filters
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most lines.")
@json_option
@remote_options
@click.pass_context
def command(
    context: click.Context,
    state: str,
    tag: str,
    path: str,
    method: str,
    user: str,
    limit: int,
    as_json: bool,
    url: str | None,
    token: str | None,
) -> None:
    """List activities, newest first: id, state, progress, method, document, tag.

    They are those of a portal that serves: HAYWAIN_URL and HAYWAIN_TOKEN say which. Below, ID is the id of an
    activity or the path of a Job.
    """
    if context.invoked_subcommand is not None:
        return
    given = {"state": state, "tag": tag, "path": path, "method": method, "user": user}
    fields = {name: value for name, value in given.items() if value} | {"limit": str(limit)}
    found = Remote.of(url, token, "activity").ask("GET", API, fields)
    if as_json:
        tell_json(found)
        return
    for one in found["items"]:
        click.echo("\t".join((one["id"], *_told(one))))
    if found["next"]:
        click.echo(f"haywain: {len(found['items'])} of {found['count']}; more with --limit", err=True)


def _told(work: Work) -> tuple[str, ...]:
    percent = f"{int(100 * work['progress'])} %"
    return (state_of(work), percent, work.get("method") or work["kind"], work["path"], work.get("tag", ""))


@command.command("show")
@click.argument("id")
@json_option
@remote_options
def show(id: str, as_json: bool, url: str | None, token: str | None) -> None:
    """Show one with its log, and its traceback where it failed."""
    found = Remote.of(url, token, "activity").ask("GET", address_of(id))
    if as_json:
        tell_json(found)
        return
    found |= {"state": state_of(found)}
    for name, value in found.items():
        if name not in ("log", "trace", "work_state") and value not in (None, "", [], {}):
            click.echo(f"{name}: {value}")
    for line in found.get("log", ()):
        click.echo(f"  {line}")
    if found.get("trace"):
        click.echo(found["trace"])


@command.command("wait")
@click.argument("id")
@json_option
@remote_options
def wait(id: str, as_json: bool, url: str | None, token: str | None) -> None:
    """Follow one to its end, and print what it came to; exit code 1 where it did not end well."""
    tell_end(follow(Remote.of(url, token, "activity"), id), as_json)


@command.command("cancel")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@remote_options
def cancel(ids: tuple[str, ...], url: str | None, token: str | None) -> None:
    """Cancel them; what runs ends at its next step."""
    _each(ids, partial(_change, Remote.of(url, token, "activity"), "cancel"))


@command.command("retry")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@remote_options
def retry(ids: tuple[str, ...], url: str | None, token: str | None) -> None:
    """Queue those that failed or were cancelled once more; each goes on from its last step."""
    _each(ids, partial(_change, Remote.of(url, token, "activity"), "retry"))


def _change(portal: Remote, what: str, id: str) -> None:
    found = portal.ask("POST", f"{address_of(id)}/{what}")
    click.echo("\t".join((id, *_told(found))))


def _each(ids: tuple[str, ...], change: Callable[[str], None]) -> None:
    """Change each; where some could not be, say why, and exit with 3."""
    errors = list[HaywainError]()
    for id in ids:
        try:
            change(id)
        except HaywainError as error:
            errors.append(error)
            click.echo(f"haywain: {id}: {error.detail}", err=True)
    if errors:
        raise SystemExit(PARTLY if len(errors) < len(ids) else errors[0].exit_code)
