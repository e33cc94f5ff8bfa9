"""fluentd's forward protocol as a door of the portal: the same deliveries as by the ingestion URL.

The protocol sends digests of passwords, never the passwords; and of people's passwords and of tokens the
portal keeps hashes only.  So whoever sends must be told to it by the operator: by one token for all
(`forward_token`), or by a file that has a name and a token for each client (`forward_users`), whose name and
token are then the username and password of the handshake.  Each delivery looks at its token anew: a token
that is revoked is worth nothing from then on.
"""

import base64
import hashlib
import ipaddress
from pathlib import Path

from haywain.errors import DataDirectoryError, HaywainError
from haywain.forward import Account, ForwardLimits, Listener, Security
from haywain.ingestion.delivery import deliver
from haywain.ingestion.policy import policy_of
from haywain.ingestion.request import Request
from haywain.portal import Site
from haywain.security.accounts import by_token
from haywain.security.user import User
from haywain.settings import Settings

_CHUNK_BYTES = 16
_RUBY = "Ruby"  # how fluentd's out_http calls itself, by which the age of a chunk's id is looked at
_NAME = "forward"  # of other senders, where senders are counted


def forward_listener(site: Site) -> Listener | None:
    """Return the listener that the settings ask for, not started yet; None if they ask for none.

    Raises DataDirectoryError if it would take what anybody sends, or could store nothing; PortInUseError.
    """
    settings = site.settings
    if settings.forward_port is None:
        return None
    _check(settings)
    tokens = _tokens(settings.forward_users) if settings.forward_users else {}
    for name, token in tokens.items() or [("", settings.forward_token)]:
        _check_token(site, name, token)
    doors = {name: _Door(site, token) for name, token in tokens.items()}
    accounts = {name: Account(tokens[name], door.deliver, door.reject) for name, door in doors.items()}
    door, key = _Door(site, settings.forward_token), settings.forward_shared_key
    return Listener(
        door.deliver,
        reject=door.reject,
        host=settings.forward_host,
        port=settings.forward_port,
        security=Security(key, accounts) if key else None,
        limits=_limits(settings),
    )


def key_of(tag: str, chunk: str | None) -> tuple[str, str]:
    r"""Return the Idempotency-Key of a chunk's id, and as whose id it is to be taken.

    fluentd sends its 16 bytes in base64 with a newline; they get the key that its out_http has for them, and
    are of an age that can be told.  Other ids are random; or, as fluent-bit's, the hash of the events, which
    is the same where it sends the same events under two tags: so the tag is part of the key.

    >>> key_of("a", "BiQ9DB8qAAABAgMEBQYHCA==\n")
    ('06243d0c1f2a00000102030405060708', 'Ruby')
    >>> key_of("a", "BiQ9DB8q"), key_of("b", "BiQ9DB8q"), key_of("a", None)
    (('BiQ9DB8q 40f89e395b66422f', ''), ('BiQ9DB8q 8472c2e34d854f75', ''), ('', ''))
    """
    if chunk is None:
        return "", ""
    number = _fluentd_number(chunk)
    if number is not None:
        return number.hex(), _RUBY
    tag_hash = hashlib.blake2b(tag.encode("utf-8", "surrogateescape"), digest_size=8)
    return f"{chunk} {tag_hash.hexdigest()}", ""


def _fluentd_number(chunk: str) -> bytes | None:
    if not chunk.endswith("\n"):
        return None
    try:
        number = base64.b64decode(chunk[:-1], validate=True)
    except ValueError:  # no base64, no ASCII
        return None
    return number if len(number) == _CHUNK_BYTES else None


class _Door:
    """What comes with the rights of one token."""

    def __init__(self, site: Site, token: str) -> None:
        self._site, self._token = site, token

    def deliver(self, tag: str, body: bytes, chunk: str | None) -> None:
        """Store events, or have them quarantined; raises HaywainError if neither was possible."""
        self._store(tag, body, chunk, "")

    def reject(self, tag: str, body: bytes, chunk: str | None, reason: str) -> None:
        """Have events that cannot be decompressed quarantined, as they came."""
        self._store(tag, body, chunk, "gzip")

    def _store(self, tag: str, body: bytes, chunk: str | None, encoding: str) -> None:
        key, agent = key_of(tag, chunk)
        request = Request(
            policy=self._site.settings.forward_policy,
            tag=tag.encode("utf-8", "surrogateescape"),
            body=body,
            content_type="application/msgpack",
            content_encoding=encoding,
            key=key,
            user=self._user(),
            agent=agent or _NAME,
        )
        deliver(self._site, request)

    def _user(self) -> User:
        with self._site.open() as portal:
            user = by_token(portal.root, self._token)
        self._site.token_uses.note(user)
        return user


def _check(settings: Settings) -> None:
    """Raise DataDirectoryError if anybody could send."""
    if settings.forward_token and settings.forward_users:
        raise _problem("forward_token and forward_users exclude each other; set one of them")
    if not settings.forward_token and not settings.forward_users:
        raise _problem(
            "forward_port is set, but not with whose rights to store what comes: set forward_token to a"
            " token with the scope ingest:POLICY, or forward_users to a file with a line `name token` for"
            " each client"
        )
    needed = settings.forward_users is not None or not _is_loopback(settings.forward_host)
    if needed and not settings.forward_shared_key:
        raise _problem(
            "forward_port is set without forward_shared_key: only a listener on loopback with forward_token"
            " may do without, since anybody who reaches it could send"
        )


def _problem(what: str) -> DataDirectoryError:
    return DataDirectoryError(f"The forward protocol cannot be served: {what}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tokens(path: Path) -> dict[str, str]:
    """Return the tokens of a file, by name; raises DataDirectoryError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _problem(f"forward_users {path} cannot be read: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) != 2 or words[0] in found:
            raise _problem(f"line {number} of {path} is not a new name and a token")
        found[words[0]] = words[1]
    if not found:
        raise _problem(f"{path} names nobody")
    return found


def _check_token(site: Site, name: str, token: str) -> None:
    """Raise DataDirectoryError if a token could store nothing."""
    whose = f"the token of {name!r} in forward_users" if name else "forward_token"
    try:
        with site.open() as portal:
            user = by_token(portal.root, token)
        with site.open(user) as portal:
            policy_of(portal, site.settings.forward_policy)
    except HaywainError as error:
        raise _problem(f"{whose} is of no use: {error}") from error


def _limits(settings: Settings) -> ForwardLimits:
    message, decoded = settings.body_bytes, settings.decoded_bytes
    return ForwardLimits(message_bytes=message, decoded_bytes=decoded, memory_bytes=2 * (message + decoded))
