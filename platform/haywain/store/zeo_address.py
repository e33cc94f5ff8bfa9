"""Where a ZEO server is, and how to use it: `zeo://HOST:PORT?...` or `zeo:///SOCKET?...`.

shared=DIR       the server's own blob directory, where this process reads and writes blobs by itself
cache_mib=2048   most of a private cache of blobs, without `shared`
wait_s=5         how long requests wait for a server that went away
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from haywain.errors import DataDirectoryError
from haywain.values import MIB

PORT = 8100
"""Where a server listens if nothing else is said."""

Place = tuple[str, int] | str
"""Host and port, or the path of a socket."""

_OPTIONS = ("shared", "cache_mib", "wait_s")


@dataclass(frozen=True)
class ZeoAddress:
    """A server and how to use it."""

    place: Place
    shared: Path | None = None
    cache_bytes: int = 2048 * MIB
    wait_s: float = 5.0

    @classmethod
    def parse(cls, uri: str) -> "ZeoAddress":
        """Return what a URI says; raises DataDirectoryError.

        >>> ZeoAddress.parse("zeo://db.example:8101?wait_s=2").place
        ('db.example', 8101)
        >>> ZeoAddress.parse("zeo:///run/db?shared=/srv/blobs").shared.as_posix()
        '/srv/blobs'
        """
        try:
            return cls._parse(uri)
        except ValueError as error:
            raise DataDirectoryError(f"The database {uri!r} cannot be opened: {error}") from error

    @classmethod
    def _parse(cls, uri: str) -> "ZeoAddress":
        parts = urlsplit(uri)
        place: Place = (parts.hostname, parts.port or PORT) if parts.hostname else unquote(parts.path)
        if not place:
            raise ValueError("it names neither a host nor a socket")
        given = dict(
            parse_qsl(parts.query, strict_parsing=True, keep_blank_values=True) if parts.query else ()
        )
        if unknown := sorted(given.keys() - set(_OPTIONS)):
            raise ValueError(f"there is no option {unknown[0]!r}; known are {', '.join(_OPTIONS)}")
        cache_mib, wait_s = int(given.get("cache_mib", "2048")), float(given.get("wait_s", "5"))
        if cache_mib < 1 or not 0 <= wait_s <= 3600:
            raise ValueError("cache_mib is 1 or more, wait_s from 0 to 3600")
        shared = Path(given["shared"]) if "shared" in given else None
        return cls(place, shared, cache_mib * MIB, wait_s)


def uri_of(place: Place) -> str:
    """Return the URI of a place, without options.

    >>> uri_of(("::1", 8100)), uri_of("/run/my db")
    ('zeo://[::1]:8100', 'zeo:///run/my%20db')
    """
    if isinstance(place, str):
        return f"zeo://{quote(place)}"
    host, port = place
    return f"zeo://{f'[{host}]' if ':' in host else host}:{port}"
