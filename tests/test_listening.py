"""Listening: a port that is taken or an address that is none is said so that a person can act on it."""

import socket

import pytest

from haywain.errors import AddressError, PortInUseError
from haywain.listening import listen

NAMES = ("the_host", "the_port")


def test_port_0_picks_a_free_one_that_is_listened_on() -> None:
    server = listen("127.0.0.1", 0, 1, NAMES)
    with server, socket.create_connection(server.getsockname(), 5) as client, server.accept()[0] as met:
        assert met.getpeername() == client.getsockname()


def test_port_in_use_names_the_setting() -> None:
    server = listen("127.0.0.1", 0, 1, NAMES)
    with server, pytest.raises(PortInUseError, match="in use by another program; name another with the_port"):
        listen("127.0.0.1", server.getsockname()[1], 1, NAMES)


@pytest.mark.parametrize("host", ["no such host.invalid", "x" * 300], ids=["unknown", "too long"])
def test_host_that_is_none_names_the_setting(host: str) -> None:
    with pytest.raises(AddressError, match="name another with the_host"):
        listen(host, 0, 1, NAMES)


def test_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(AddressError, match=r"Cannot listen on 192\.0\.2\.1"):
        listen("192.0.2.1", 0, 1, NAMES)
