"""`haywain policy`: add an Ingestion Policy in one step, and list those there are, over HTTP."""

import time
from typing import Any
from urllib.parse import quote

import click

from haywain.cli.remote import Remote, remote_options
from haywain.cli.telling import json_option, tell_json
from haywain.errors import TemporaryError

PATH = "/api/v1/ingestion-policies"
_LOOK_EVERY_S = 0.5


@click.group("policy")
def command() -> None:
    """Add an Ingestion Policy in one step, or list those there are.

    They are those of a portal that serves: HAYWAIN_URL and HAYWAIN_TOKEN say which; there is no --data.
    """


@command.command("add")
@click.argument("reference")
@click.option("--title", default="", help="A line about it (default: the reference).")
@click.option("--rule", default="", help="What is done with the bytes (default: append_as_is).")
@click.option("--wait", is_flag=True, help="Wait until the first byte has come.")
@click.option("--timeout", "timeout_s", type=click.IntRange(min=1), help="Wait so many seconds at most.")
@json_option
@remote_options
def add(
    reference: str,
    title: str,
    rule: str,
    wait: bool,
    timeout_s: int | None,
    as_json: bool,
    url: str | None,
    token: str | None,
) -> None:
    """Make the policy REFERENCE with its product, its supply and a token, and show what to copy.

    The token is shown only now.
    """
    portal = Remote.of(url, token, "admin")
    found = portal.ask("POST", PATH, json={"reference": reference, "title": title, "rule": rule})
    if as_json:
        tell_json(found)
    else:
        _tell(found)
    if wait:
        _wait(portal, reference, timeout_s, as_json)


def _tell(found: dict[str, Any]) -> None:  # Any: JSON
    for name, text in found["configurations"].items():
        click.echo(f"# --- {name.replace('_', '-')} " + "-" * (60 - len(name)))
        click.echo(text)
    click.echo(f"policy: {found['path']} (rule {found['rule']})")
    click.echo(f"address: {found['url']}")
    click.echo(f"token: {found['token']}")
    click.echo("haywain: the token is shown only now", err=True)


def _wait(portal: Remote, reference: str, timeout_s: int | None, as_json: bool) -> None:
    """Return once something has come; raises TemporaryError if nothing does."""
    click.echo("haywain: waiting for the first byte", err=True)
    deadline = time.monotonic() + timeout_s if timeout_s is not None else None
    while True:
        found = portal.ask("GET", f"{PATH}/{quote(reference, safe='')}")
        if found["streams"] or found["quarantined"]:
            break
        if deadline is not None and time.monotonic() > deadline:
            raise TemporaryError(f"Nothing has come to {reference} within {timeout_s} s")
        time.sleep(_LOOK_EVERY_S)
    if found["quarantined"]:
        click.echo(
            f"haywain: {found['quarantined']} could not be delivered; the quarantine says why", err=True
        )
    if as_json:
        tell_json({"streams": found["streams"], "quarantined": found["quarantined"]})
        return
    for stream in found["streams"]:
        click.echo(f"arrived: {stream['size']} bytes in {stream['reference']} ({stream['path']})")


@command.command("ls")
@json_option
@remote_options
def list_all(as_json: bool, url: str | None, token: str | None) -> None:
    """List the policies: reference, state, rule, title."""
    found = Remote.of(url, token, "admin").ask("GET", PATH)
    if as_json:
        tell_json(found)
        return
    for one in found["items"]:
        click.echo("\t".join((one["reference"] or one["id"], one["state"], one["rule"], one["title"])))
