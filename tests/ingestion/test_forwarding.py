"""The forward protocol as a door: who may come in, and that a chunk is stored once."""

import base64
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.forward.client import PAIR, Client

from haywain import clock
from haywain.errors import DataDirectoryError
from haywain.forward import Listener
from haywain.ingestion.forwarding import forward_listener, key_of
from haywain.portal import Portal, Site

Open = Callable[..., Listener]


def new_token(site: Site, *scopes: str) -> tuple[str, str]:
    """Return the secret and the path of a new token."""

    def make(portal: Portal) -> tuple[str, str]:
        made = portal.new("Token", login="admin", scopes=scopes)
        return made.shown_once()["secret"], made.path

    return site.transact(make)[0]


@pytest.fixture
def token(site: Site) -> str:
    """The secret of a token that may ingest."""
    return new_token(site, "ingest:default")[0]


@pytest.fixture
def door(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open the door with settings, on a free port."""
    opened: list[Listener] = []

    def door(**settings: Any) -> Listener:
        monkeypatch.setattr(site, "settings", site.settings.model_copy(update={"forward_port": 0} | settings))
        listener = forward_listener(site)
        assert listener is not None
        opened.append(listener)
        listener.start()
        return listener

    yield door
    for listener in opened:
        listener.stop()


def stored(site: Site, tag: str) -> bytes:
    with site.open() as portal:
        return bytes(portal.root.find("sink", tag).read())


def quarantined(site: Site) -> list[tuple[str, bytes]]:
    """Return reason and bytes of what is kept in quarantine, newest first."""
    with site.open() as portal:
        return [(kept.properties.reason, kept.read()) for kept in portal.catalog(portal_type="Quarantine")]


def test_events_are_stored_once_under_their_chunk(site: Site, door: Open, token: str) -> None:
    listener = door(forward_token=token)
    for _ in range(2):
        with Client(listener.port) as client:
            client.send("door.once", PAIR, {"chunk": "one"})
            assert client.answer() == {"ack": "one"}
    assert stored(site, "door.once") == PAIR


def test_events_without_a_chunk_are_stored_each_time(site: Site, door: Open, token: str) -> None:
    with Client(door(forward_token=token).port) as client:
        client.send("door.often", PAIR)
        client.send("door.often", PAIR)
        client.send("door.often", PAIR, {"chunk": "last"})
        assert client.answer() == {"ack": "last"}
    assert stored(site, "door.often") == 3 * PAIR


def test_chunk_of_fluentd_has_the_key_that_its_out_http_has() -> None:
    number = bytes(range(16))
    assert key_of("a", base64.encodebytes(number).decode()) == (number.hex(), "Ruby")
    for other in ("one", "one\n", "\u0436\n", base64.b64encode(number).decode(), "\udcff\n"):
        assert key_of("a", other) == key_of("a", other) != key_of("b", other)
        assert key_of("a", other)[0].startswith(other) and key_of("a", other)[1] == ""


def test_same_events_under_two_tags_are_stored_under_both(site: Site, door: Open, token: str) -> None:
    """As two outputs of fluent-bit send them, whose chunk is the hash of the events."""
    with Client(door(forward_token=token).port) as client:
        for tag in ("door.left", "door.right"):
            client.send(tag, PAIR, {"chunk": "hash"})
            assert client.answer() == {"ack": "hash"}
    assert stored(site, "door.left") == stored(site, "door.right") == PAIR


def test_old_chunk_of_fluentd_is_quarantined(site: Site, door: Open, token: str) -> None:
    """Nobody can tell any more whether it was stored."""
    made_us = int((clock.now_s() - 31 * 86_400) * 1e6)
    chunk = base64.encodebytes((made_us << 12).to_bytes(8, "big") + bytes(8)).decode()
    with Client(door(forward_token=token).port) as client:
        client.send("door.old", PAIR, {"chunk": chunk})
        assert client.answer() == {"ack": chunk}
    assert any("days old" in reason and body == PAIR for reason, body in quarantined(site))


@pytest.mark.parametrize(
    ("tag", "body", "why"),
    [
        ("bad/tag", PAIR, "slash"),
        ("door.bomb", gzip.compress(bytes(4_000_000)), "times larger"),
        (b"\xff", PAIR, "UTF-8"),
    ],
    ids=["tag", "bomb", "no-text"],
)
def test_what_can_never_be_stored_is_quarantined_and_acknowledged(
    site: Site, door: Open, token: str, tag: str | bytes, body: bytes, why: str
) -> None:
    option = {"chunk": f"q-{why}"} | ({"compressed": "gzip"} if body is not PAIR else {})
    with Client(door(forward_token=token).port) as client:
        client.send(tag, body, option)
        assert client.answer() == {"ack": f"q-{why}"}
    assert any(why in reason and kept == body for reason, kept in quarantined(site))


def test_token_that_is_revoked_is_worth_nothing(site: Site, door: Open) -> None:
    secret, path = new_token(site, "ingest:default")
    with Client(door(forward_token=secret).port) as client:
        site.transact(lambda portal: setattr(portal[path], "state", "invalidated"))
        client.send("door.revoked", PAIR, {"chunk": "one"})
        assert client.answer() is None


def test_each_user_sends_with_the_rights_of_a_token(site: Site, door: Open, tmp_path: Path) -> None:
    first, second = (new_token(site, "ingest:default") for _ in range(2))
    users = tmp_path / "users"
    users.write_text(f"# who sends\n\nfirst {first[0]}\nsecond {second[0]}\n")
    listener = door(forward_users=users, forward_shared_key="key")
    for name, (secret, _) in {"first": first, "second": second}.items():
        with Client(listener.port) as client:
            assert client.shake_hands("key", name, secret)[1] is True
            client.send("door.users", PAIR, {"chunk": "one"})
            assert client.answer() == {"ack": "one"}
            client.send("door.users", b"no gzip", {"chunk": "two", "compressed": "gzip"})
            assert client.answer() == {"ack": "two"}
    assert stored(site, "door.users") == 2 * PAIR  # keys belong to the token
    with Client(listener.port) as client:
        assert client.shake_hands("key", "first", second[0])[1] is False


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        pytest.param({}, "set forward_token", id="nothing"),
        pytest.param({"forward_shared_key": "key"}, "set forward_token", id="key-alone"),
        pytest.param({"forward_token": "TOKEN", "forward_host": "0.0.0.0"}, "forward_shared_key", id="open"),
        pytest.param({"forward_token": "hw_other"}, "forward_token is of no use", id="unknown"),
        pytest.param({"forward_token": "READER"}, "forward_token is of no use", id="may-not"),
        pytest.param({"forward_token": "TOKEN", "forward_policy": "x"}, "of no use", id="policy"),
        pytest.param({"forward_users": Path("missing")}, "forward_shared_key", id="users-without-key"),
        pytest.param(
            {"forward_users": Path("missing"), "forward_shared_key": "key"}, "cannot be read", id="no-users"
        ),
        pytest.param(
            {"forward_users": Path("missing"), "forward_token": "TOKEN"}, "exclude", id="users-and-token"
        ),
    ],
)
def test_door_that_would_be_open_or_useless_stays_shut(
    site: Site, door: Open, token: str, settings: dict[str, Any], why: str
) -> None:
    secrets = {"TOKEN": token, "READER": new_token(site, "read")[0]}
    given = {
        name: secrets.get(value, value) if isinstance(value, str) else value
        for name, value in settings.items()
    }
    with pytest.raises(DataDirectoryError, match=why):
        door(**given)


@pytest.mark.parametrize("text", ["", "# nobody\n", "one\n", "a b c\n", "a b\na c\n"], ids=range(5))
def test_file_of_users_that_makes_no_sense_is_refused(door: Open, tmp_path: Path, text: str) -> None:
    users = tmp_path / "users"
    users.write_text(text)
    with pytest.raises(DataDirectoryError, match="users"):
        door(forward_users=users, forward_shared_key="key")
