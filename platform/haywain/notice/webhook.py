"""Webhook: one POST of JSON to somebody else's address, which gets to see nothing of our network.

Whoever may make a document here says where to: so a name is looked up once, each address is checked, and that
very address is connected to.  Nothing is followed, and little of an answer is read.
"""

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from haywain import __version__
from haywain.errors import InvalidError, NotSentError

CONNECT_S, DEADLINE_S = 10.0, 30.0
"""How long one address is tried, and how long all of it may take."""

EXCERPT = 200
"""Characters of an answer that are told."""

TRY_AGAIN = (408, 425, 429)
"""Answers of the 400s that may be others the next time."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Hosts(NamedTuple):
    """Where requests may go: to any public address, or to these names only, wherever they are.

    A name may be `*.example.org`, or `*` for all.
    """

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, setting: str) -> "Hosts":
        """Return what the setting says, names between commas."""
        return cls(tuple(name.strip().lower() for name in setting.split(",") if name.strip()))

    def names_host(self, host: str) -> bool:
        """Return whether a host is one of those named.

        >>> Hosts.of("*.example.org, 10.0.0.5").names_host("hooks.example.org")
        True
        """
        host = host.lower()
        return any(
            name in ("*", host) or (name[:2] == "*." and host.endswith(name[1:])) for name in self.names
        )

    def check(self, url: str) -> SplitResult:
        """Return the parts of an address that requests may go to, as far as the name tells.

        Raises InvalidError.
        """
        parts = split_url(url)
        host = str(parts.hostname)
        if self.names:
            if not self.names_host(host):
                raise InvalidError(f"{host} is none of the hosts in HAYWAIN_WEBHOOK_HOSTS")
        elif not _may_be_public(host):
            raise InvalidError(f"{host} is an address of this network; HAYWAIN_WEBHOOK_HOSTS may name it")
        return parts


def split_url(url: str) -> SplitResult:
    """Return the parts of an address of http or https; raises InvalidError."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidError("it is no address such as https://example.org/hook")
    if parts.username is not None or parts.password is not None:
        raise InvalidError("user and password have no place in the address")
    return parts


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public internet, also if it stands inside another one.

    >>> [is_public(ipaddress.ip_address(a)) for a in ("9.9.9.9", "169.254.169.254", "::ffff:10.0.0.1")]
    [True, False, False]
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def signature_of(secret: str, body: bytes) -> str:
    """Return by what the receiver knows that a body is ours: `sha256=` and the HMAC in hexadecimal digits.

    >>> signature_of("secret", b"{}")[:16]
    'sha256=77325902c'
    """
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def post(url: str, body: bytes, key: str, secret: str, hosts: Hosts) -> int:
    """Send JSON under an idempotency key, signed if there is a secret; return the status, of the 200s.

    Raises NotSentError: final for what will be refused again, not so for 5xx, 429 and no answer at all.
    """
    try:
        parts = hosts.check(url)
    except InvalidError as error:
        raise NotSentError(f"It was not sent: {error.detail}", True) from error
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": key,
        "User-Agent": f"haywain/{__version__}",
        "Connection": "close",
    } | ({"Haywain-Signature": signature_of(secret, body)} if secret else {})
    try:
        with _connection(parts, hosts) as connection:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, body, headers)
            with connection.getresponse() as response:
                status, excerpt = response.status, _excerpt(response)
    except NotSentError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise NotSentError(
            f"{parts.hostname} does not answer: {str(error) or type(error).__name__}"
        ) from error
    if 200 <= status < 300:
        return status
    told = f": {excerpt}" if excerpt else ""
    if 300 <= status < 400:
        raise NotSentError(
            f"{parts.hostname} answers {status}: it leads elsewhere, which is not followed", True
        )
    raise NotSentError(f"{parts.hostname} answers {status}{told}", status < 500 and status not in TRY_AGAIN)


@contextmanager
def _connection(parts: SplitResult, hosts: Hosts) -> Iterator[http.client.HTTPConnection]:
    """Connect to an address that was checked; it is cut when the deadline is over."""
    host, is_tls = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    raw = _connected(_addresses(host, port, hosts), port)
    handle = raw.dup()  # TLS takes the other one over
    timer = threading.Timer(DEADLINE_S, _cut, (handle,))
    timer.daemon = True
    timer.start()
    connection = http.client.HTTPConnection(host, port, timeout=DEADLINE_S)
    if is_tls:
        connection.default_port = 443  # what Host leaves out
    try:
        connection.sock = (
            ssl.create_default_context().wrap_socket(raw, server_hostname=host) if is_tls else raw
        )
        yield connection
    finally:
        timer.cancel()
        connection.close()
        raw.close()
        handle.close()


def _addresses(host: str, port: int, hosts: Hosts) -> list[str]:
    """Return the addresses of a host that may be connected to; raises NotSentError."""
    try:
        found = [str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise NotSentError(f"{host} is not found: {error}") from error
    if hosts.names:
        return found
    good = [one for one in found if is_public(ipaddress.ip_address(one.partition("%")[0]))]
    if not good:
        raise NotSentError(f"{host} leads into this network; HAYWAIN_WEBHOOK_HOSTS may name it", True)
    return good


def _connected(addresses: list[str], port: int) -> socket.socket:
    """Return a connection to the first address that takes one; raises OSError of the last."""
    for number, address in enumerate(addresses, 1):
        try:
            made = socket.create_connection((address, port), timeout=CONNECT_S)
        except OSError:
            if number == len(addresses):
                raise
            continue
        made.settimeout(DEADLINE_S)
        return made
    raise OSError("there is no address")


def _cut(raw: socket.socket) -> None:
    """End a connection from outside; whoever reads it finds it closed."""
    try:
        raw.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself


def _excerpt(response: http.client.HTTPResponse) -> str:
    """Return the beginning of an answer as one line."""
    try:
        read = response.read(4 * EXCERPT)
    except (OSError, http.client.HTTPException):
        return ""
    text = read.decode("utf-8", "replace")
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:EXCERPT]


def _may_be_public(host: str) -> bool:
    """Return whether a host may be outside, as far as its name tells."""
    try:
        return is_public(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")
