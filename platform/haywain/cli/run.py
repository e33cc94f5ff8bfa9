"""`haywain run`: have a kind of work done on a document of a portal that serves, in parts where it can be."""

import json
from typing import Any
from urllib.parse import quote

import click

from haywain.cli.following import follow, tell_end
from haywain.cli.remote import Remote, remote_options
from haywain.cli.telling import json_option, tell_json
from haywain.errors import InvalidError, NotFoundError


@click.command("run")
@click.argument("kind")
@click.argument("document")
@click.option("--step", help="About so much is a part, such as 64MiB (default: as the kind has it).")
@click.option("--target", metavar="PATH", help="The document that the result goes to.")
@click.option(
    "--parameter", "pairs", multiple=True, metavar="NAME=VALUE", help="What it is given; repeat it."
)
@click.option("--parameters", "text", metavar="JSON", default="{}", help="The same, as a JSON object.")
@click.option("--whole", is_flag=True, help="Do it in one piece, as one activity.")
@click.option("--no-wait", is_flag=True, help="Print where it stands, and do not wait for its end.")
@json_option
@remote_options
def command(
    kind: str,
    document: str,
    step: str | None,
    target: str | None,
    pairs: tuple[str, ...],
    text: str,
    whole: bool,
    no_wait: bool,
    as_json: bool,
    url: str | None,
    token: str | None,
) -> None:
    """Run KIND, such as statistics, on DOCUMENT, a path or a reference, and print what it comes to.

    A kind that can be done in parts becomes a Job, on all Workers there are. Ctrl-C leaves it running.
    Exit codes: 0 done, 1 failed or cancelled.
    """
    portal = Remote.of(url, token, "activity")
    path, parameters = _path_of(portal, document), _parameters(text, pairs)
    if not whole and _is_in_parts(portal, path, kind):
        given = {"kind": kind, "parameters": parameters} | ({"step": step} if step else {})
        given |= {"target": _path_of(portal, target)} if target else {}
        made = portal.ask("POST", f"/{quote(path)}/jobs", json=given)
        name = made["path"]
    elif step or target:
        raise InvalidError(f"--step and --target are for what is done in parts; {kind} is not, here")
    else:
        made = portal.ask(
            "POST", f"/{quote(path)}/activities", json={"method": kind, "parameters": parameters}
        )
        name = made["id"]
    if not no_wait:
        tell_end(follow(portal, name), as_json)
    elif as_json:
        tell_json(made)
    else:
        click.echo(name)


def _is_in_parts(portal: Remote, path: str, kind: str) -> bool:
    return any(one["kind"] == kind for one in portal.ask("GET", f"/{quote(path)}/jobs")["items"])


def _path_of(portal: Remote, name: str) -> str:
    """Return the path of a document that is named by it or by its reference; raises NotFoundError."""
    if "_module/" in name:
        return name.strip("/")
    found = [
        item["path"]
        for item in portal.ask("GET", "/api/v1/search", {"reference": name, "limit": "1000"})["items"]
        if item["reference"] == name and item["state"] != "deleted"
    ]
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise NotFoundError(f"There is no document with the reference {name!r}")
    raise InvalidError(
        f"{len(found)} documents have the reference {name!r}; say which: {', '.join(found[:9])}"
    )


def _parameters(text: str, pairs: tuple[str, ...]) -> dict[str, Any]:  # Any: JSON
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidError(f"--parameters is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidError('--parameters is a JSON object, such as {"bins": 32}')
    for pair in pairs:
        name, is_given, value = pair.partition("=")
        if not is_given:
            raise InvalidError(f"--parameter is NAME=VALUE, not {pair!r}")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:  # Any: JSON
    """Return what a text says: JSON where it is some, else itself.

    >>> _value("32"), _value("hann"), _value("[1, 2]")
    (32, 'hann', [1, 2])
    """
    try:
        return json.loads(text)
    except ValueError:
        return text
