"""Placement: bytes sent to a stream's own address, in order with what agents send to its tag."""

import errno
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from haywain.errors import PreconditionError
from haywain.ingestion.placement import Body, Placement, finish_uploads, place
from haywain.ingestion.precondition import Precondition
from haywain.portal import Portal, Site
from haywain.security import SYSTEM
from haywain.store.database import NamedLocks
from haywain.store.pieces import Pieces
from haywain.store.upload import UploadInfo
from haywain.values import Receipt

Send = Callable[..., Receipt]


class ListedLocks(NamedLocks):
    """Locks that tell which were taken."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def named(self, name: str) -> threading.Lock:
        self.names.append(name)
        return super().named(name)


@pytest.fixture
def locks(site: Site) -> Iterator[ListedLocks]:
    before, site.locks = site.locks, ListedLocks()
    yield site.locks
    site.locks = before


def uploaded(site: Site, path: str, data: bytes, **info: Any) -> str:
    """Return the id of a complete upload that a killed process left."""
    about = UploadInfo(path, len(data), "append", "a.wav", created=0, **({"user": "admin"} | info))
    upload_id = site.uploads.create(about)
    writer = site.uploads.writer(upload_id, 0)
    writer.append(data)
    writer.close()
    return upload_id


def test_a_sink_has_one_lock_for_its_tag_and_its_path(site: Site, send: Send, locks: ListedLocks) -> None:
    sink = send("both.ways", b"one").path
    place(site, Placement(sink, "append", Body(b"two")), SYSTEM)
    uploaded(site, sink, b"three")
    assert finish_uploads(site) == 1
    assert locks.names == ["sink:both.ways"] * 3


def test_a_stream_of_no_tag_has_the_lock_of_its_path(site: Site, locks: ListedLocks) -> None:
    path, _ = site.transact(lambda portal: portal.new("Data Stream").path)
    place(site, Placement(path, "append", Body(b"x")), SYSTEM)
    assert locks.names == [f"stream:{path}"]


def test_an_upload_that_cannot_be_read_keeps_no_other_from_its_stream(
    site: Site, monkeypatch: pytest.MonkeyPatch, bytes_of: Callable[[str], bytes]
) -> None:
    path, _ = site.transact(lambda portal: portal.new("Data Stream").path)
    bad, good = sorted(uploaded(site, path, b"abc") for _ in range(2))
    fsync = Pieces.fsync

    def fail(pieces: Pieces) -> None:
        if pieces.path.name == bad:
            raise OSError(errno.EIO, "Input/output error")
        fsync(pieces)

    monkeypatch.setattr(Pieces, "fsync", fail)
    assert finish_uploads(site) == 1
    assert [upload.id for upload in site.uploads.complete()] == [bad]
    assert site.uploads.get(good).info.finished and bytes_of(path) == b"abc"
    site.uploads.discard(bad)


@pytest.mark.parametrize("end", ["invalidated", "deleted"])
def test_an_upload_by_a_token_that_was_revoked_is_not_finished(site: Site, end: str) -> None:
    path, _ = site.transact(lambda portal: portal.new("Data Stream").path)
    token, _ = site.transact(lambda portal: portal.new("Token", login="admin", scopes=("write",)).path)
    first = uploaded(site, path, b"abc", token_path=token)
    assert finish_uploads(site) == 1 and site.uploads.get(first).info.finished
    if end == "deleted":
        site.transact(lambda portal: portal.delete(portal[token]))
    else:
        site.transact(lambda portal: setattr(portal[token], "state", end))
    second = uploaded(site, path, b"def", token_path=token)
    assert finish_uploads(site) == 0
    site.uploads.discard(second)


def test_what_keeps_an_upload_is_logged_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    path, _ = site.transact(lambda portal: portal.new("Data Stream").path)
    kept = uploaded(site, path, b"abc", user="nobody")
    for _ in range(3):
        assert finish_uploads(site) == 0
    site.transact(lambda portal: portal.delete(portal[path]))
    for _ in range(3):
        assert finish_uploads(site) == 0
    assert [kept in text for text in caplog.messages] == [True, True]
    assert "may not" in caplog.messages[0] and "nothing" in caplog.messages[1]
    site.uploads.discard(kept)
    assert finish_uploads(site) == 0 and not site.refused_uploads


@pytest.fixture
def stream(site: Site) -> str:
    """The path of a stream of 3 bytes."""

    def make(portal: Portal) -> str:
        found = portal.new("Data Stream")
        found.append(b"old")
        return found.path

    return site.transact(make)[0]


def etag_of(site: Site, path: str) -> str:
    with site.open() as portal:
        return f'"{portal[path].etag}"'


def put(site: Site, path: str, data: bytes, only_if: Precondition, key: str = "") -> Receipt:
    return place(site, Placement(path, "replace", Body(data), key=key, only_if=only_if), SYSTEM)


def test_of_writers_at_once_that_read_the_same_bytes_one_wins(
    site: Site, stream: str, together: Callable[..., list[Any]], bytes_of: Callable[[str], bytes]
) -> None:
    only_if = Precondition(match=frozenset({etag_of(site, stream)}))
    bodies = [b"%d" % number for number in range(6)]
    found = together(*(partial(put, site, stream, body, only_if) for body in bodies))
    winners = [body for body, result in zip(bodies, found, strict=True) if isinstance(result, Receipt)]
    assert [bytes_of(stream)] == winners
    assert sum(isinstance(result, PreconditionError) for result in found) == 5


def test_no_append_is_overtaken_by_a_replace_on_condition(
    site: Site, stream: str, monkeypatch: pytest.MonkeyPatch, bytes_of: Callable[[str], bytes]
) -> None:
    """As by another process, whose locks are others."""
    only_if, check = Precondition(match=frozenset({etag_of(site, stream)})), Precondition.check

    def check_before_an_append(self: Precondition, etag: str, size: int) -> None:
        check(self, etag, size)
        with site.open() as other:
            other[stream].append(b" and new")
            other.commit()

    monkeypatch.setattr(Precondition, "check", check_before_an_append)
    with pytest.raises(PreconditionError):
        put(site, stream, b"mine", only_if)
    assert bytes_of(stream) == b"old and new"


def test_what_a_key_has_stored_is_not_refused(site: Site, stream: str) -> None:
    only_if = Precondition(match=frozenset({etag_of(site, stream)}))
    first = put(site, stream, b"mine", only_if, key="k")
    again = put(site, stream, b"mine", only_if, key="k")
    assert (first.status, again.status, again.tid) == ("stored", "duplicate", first.tid)


def test_what_is_refused_takes_no_key(site: Site, stream: str) -> None:
    with pytest.raises(PreconditionError):
        put(site, stream, b"mine", Precondition(match=frozenset({'"other"'})), key="refused")
    assert put(site, stream, b"mine", Precondition(), key="refused").status == "stored"
