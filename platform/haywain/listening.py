"""Sockets that listen: one way to bind, and to say what is wrong with an address."""

import errno
import socket

from haywain.errors import AddressError, HaywainError, PortInUseError


def listen(host: str, port: int, backlog: int, settings: tuple[str, str]) -> socket.socket:
    """Bind to the first address of the host, IPv4 before IPv6; port 0 picks a free one.

    `settings` are what a person names host and port by, such as `--host` and `--port`.  Raises
    PortInUseError, or AddressError if this address cannot be listened on at all.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise AddressError(
            f"The host {host!r} cannot be resolved; name another with {settings[0]}"
        ) from error
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise _explained(host, port, settings[1], error) from error
    return sock


def _explained(host: str, port: int, setting: str, error: OSError) -> HaywainError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"Port {port} of {host} is in use by another program; name another with {setting}"
        )
    if error.errno == errno.EACCES:
        return AddressError(f"This user may not listen on port {port} of {host}; name one from 1024 on")
    return AddressError(f"Cannot listen on {host}, port {port}: {error.strerror}")
