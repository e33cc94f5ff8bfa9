"""Placement: bytes sent to a stream's own address, in order with what agents send to its tag."""

import errno
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from haywain.ingestion.placement import Body, Placement, finish_uploads, place
from haywain.portal import Site
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
