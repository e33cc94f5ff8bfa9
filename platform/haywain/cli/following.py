"""Follow work that a portal does, an activity or a Job, to its end; for `run` and `activities`."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from haywain.cli.remote import Remote
from haywain.cli.telling import progress_bar, tell_json
from haywain.errors import HaywainError, InvalidError, TemporaryError, UnreachableError

FIRST_S, LONGEST_S = 0.1, 2.0
"""How long it is waited between two looks, at first and at most."""
PATIENCE_S = 300
"""So long a portal that does not answer is asked again."""
ENDED = ("done", "failed", "cancelled")

Work = dict[str, Any]
"""What a portal tells of an activity or a Job.  Any: JSON."""


def address_of(name: str) -> str:
    """Return the address of an activity, by its id, or of a Job, by its path.

    >>> address_of("019ab1c2d3e00f4b"), address_of("/job_module/1a")
    ('/api/v1/activities/019ab1c2d3e00f4b', '/job_module/1a')
    """
    name = name.strip("/")
    if name.startswith("job_module/"):
        return f"/{quote(name)}"
    if "/" in name or not name:
        raise InvalidError(f"{name!r} is neither the id of an activity nor the path of a Job")
    return f"/api/v1/activities/{quote(name)}"


def state_of(work: Work) -> str:
    """Return how work stands: of a Job not the state of its document."""
    return str(work.get("work_state") or work["state"])


def follow(portal: Remote, name: str) -> Work:
    """Return what has become of work, once it has ended; a bar shows how far it is.

    Raises NotFoundError, UnreachableError, ForbiddenError.
    """
    address = address_of(name)
    with progress_bar() as tell, _interrupted(name):
        for wait_s in _pauses():
            found: Work = _asked(portal, address)
            tell(str(found.get("kind") or found.get("method")), round(1000 * found["progress"]), 1000)
            if state_of(found) in ENDED:
                return found
            time.sleep(wait_s)
    raise AssertionError("it is waited for ever")


def tell_end(work: Work, as_json: bool) -> None:
    """Print what work came to; raises HaywainError for what did not end well."""
    if as_json:
        tell_json(work)
    state = state_of(work)
    if state != "done":
        why = work["error"] or f"it was {state}"
        raise HaywainError(
            f"{work['path']} {state}: {why}" if state == "failed" else f"{work['path']}: {why}"
        )
    if as_json:
        return
    result = work["result"]
    for name, value in result.items() if isinstance(result, dict) else [("result", result)]:
        click.echo(f"{name}: {value if isinstance(value, str) else _short(value)}")


def _short(value: Any) -> str:  # Any: JSON
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}... (all of it with --json)"


def _pauses() -> Iterator[float]:
    wait_s = FIRST_S
    while True:
        yield wait_s
        wait_s = min(wait_s * 1.3, LONGEST_S)


def _asked(portal: Remote, address: str) -> Work:
    """Ask, again and again where the portal is away for a while: the work goes on without."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            found: Work = portal.ask("GET", address)
            return found
        except (UnreachableError, TemporaryError):
            if time.monotonic() > deadline:
                raise
            time.sleep(LONGEST_S)


@contextlib.contextmanager
def _interrupted(name: str) -> Iterator[None]:
    """Say, at Ctrl-C, that the work goes on."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            f"haywain: it goes on; `haywain activities wait {name}` shows how far it is, and"
            f" `haywain activities cancel {name}` ends it",
            err=True,
        )
        raise SystemExit(1) from None
