"""A portal that is asked over HTTP: at HAYWAIN_URL, with the token HAYWAIN_TOKEN."""

import json as json_text
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import click
import urllib3
from urllib3.exceptions import HTTPError

from haywain.errors import (
    DuplicateError,
    ForbiddenError,
    HaywainError,
    InvalidError,
    NotFoundError,
    TemporaryError,
    UnreachableError,
)

F = TypeVar("F", bound=Callable[..., Any])  # Any: whatever a verb takes
_CONNECT_S = 10
_ERRORS: dict[int, type[HaywainError]] = {
    400: InvalidError,
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: DuplicateError,
    429: TemporaryError,
    503: TemporaryError,
}


@dataclass(frozen=True)
class Remote:
    """A portal, and the token that it is asked with."""

    url: str
    token: str

    @classmethod
    def of(cls, url: str | None, token: str | None, scope: str) -> Self:
        """Return what the options say; raises InvalidError where they do not."""
        if not url or not token:
            raise InvalidError(
                "Set HAYWAIN_URL and HAYWAIN_TOKEN, or give --url and --token; a token is made on the page"
                f" Tokens of the portal, with the scope {scope}"
            )
        return cls(url, token)

    def ask(
        self, method: str, path: str, fields: dict[str, str] | None = None, json: dict[str, Any] | None = None
    ) -> Any:  # Any: JSON
        """Send a request; see `ask`."""
        return ask(self.url, self.token, method, path, fields, json)


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

    Raises UnreachableError, or with what the portal says the error of its status.
    """
    timeout = urllib3.Timeout(connect=_CONNECT_S, read=None)
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    address = f"{url.rstrip('/')}{path}" + (f"?{urlencode(fields)}" if fields else "")
    with urllib3.PoolManager(timeout=timeout, retries=False) as pool:
        try:
            answer = pool.request(method, address, headers=headers, json=json)
        except HTTPError as error:
            raise UnreachableError(f"The portal at {url} does not answer: {error}") from error
    if answer.status in (200, 201, 202):
        return answer.json()
    raise _error(answer.status, f"The portal at {url} says {answer.status}: {_detail(answer.data)}")


def _detail(body: bytes) -> str:
    try:
        return str(json_text.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


def _error(status: int, message: str) -> HaywainError:
    return _ERRORS.get(status, HaywainError)(message)
