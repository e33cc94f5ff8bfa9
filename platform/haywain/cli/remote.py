"""A portal that is asked over HTTP: at HAYWAIN_URL, with the token HAYWAIN_TOKEN."""

import json as json_text
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

import click
import urllib3
from urllib3.exceptions import HTTPError

from haywain.errors import ForbiddenError, HaywainError, TemporaryError, UnreachableError

F = TypeVar("F", bound=Callable[..., Any])  # Any: whatever a verb takes
_CONNECT_S = 10


def remote_options(function: F) -> F:
    """Add --url and --token."""
    token = click.option("--token", envvar="HAYWAIN_TOKEN", help="A token for it (default: HAYWAIN_TOKEN).")
    url = click.option("--url", envvar="HAYWAIN_URL", help="A portal that serves (default: HAYWAIN_URL).")
    return url(token(function))


def post(url: str, token: str, path: str, **fields: str) -> Any:  # Any: JSON
    """Send a POST, wait for the answer however long it takes, and return its JSON; raises what `ask` does."""
    return ask(url, token, "POST", path, fields)


def ask(
    url: str,
    token: str,
    method: str,
    path: str,
    fields: dict[str, str] | None = None,
    json: dict[str, Any] | None = None,
) -> Any:  # Any: JSON
    """Send a request with fields in its address or JSON in its body, and return the JSON of the answer.

    Raises UnreachableError, ForbiddenError, TemporaryError, or HaywainError with what the portal says.
    """
    timeout = urllib3.Timeout(connect=_CONNECT_S, read=None)
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    address = f"{url.rstrip('/')}{path}" + (f"?{urlencode(fields)}" if fields else "")
    with urllib3.PoolManager(timeout=timeout, retries=False) as pool:
        try:
            answer = pool.request(method, address, headers=headers, json=json)
        except HTTPError as error:
            raise UnreachableError(f"The portal at {url} does not answer: {error}") from error
    if answer.status in (200, 201):
        return answer.json()
    raise _error(answer.status, f"The portal at {url} says {answer.status}: {_detail(answer.data)}")


def _detail(body: bytes) -> str:
    try:
        return str(json_text.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


def _error(status: int, message: str) -> HaywainError:
    if status in (401, 403):
        return ForbiddenError(message)
    return TemporaryError(message) if status in (429, 503) else HaywainError(message)
