"""Data Stream: a document whose bytes lie beside it."""

import msgpack
import pytest

from haywain.errors import ExpiredError, InvalidError
from haywain.portal import Portal, Site
from haywain.store import stream as stream_module

pytestmark = pytest.mark.storages(each_run=True)


@pytest.mark.parametrize(
    "media_type",
    ["", "x", "a/b\r\nX: y", "\u0436/x", "a/\u00e9", "a/b; c", "a /b", "a/" + "x" * 300],
    ids=range(8),
)
def test_media_type_that_is_no_header_is_refused(portal: Portal, media_type: str) -> None:
    with pytest.raises(InvalidError):
        portal.new("Data Stream", content_type=media_type)


@pytest.mark.parametrize(
    "media_type", ["audio/x-wav", "text/plain; charset=utf-8", "application/vnd.a.b+json;v=1"]
)
def test_media_type_is_kept(portal: Portal, media_type: str) -> None:
    assert portal.new("Data Stream", content_type=media_type).content_type == media_type


def test_append_changes_size_row_and_tag_but_not_the_document(site: Site) -> None:
    path, made = site.transact(lambda p: p.new("Data Stream").path)
    with site.open() as portal:
        before = portal[path].etag
    site.transact(lambda p: p[path].append(b"abc"))
    with site.open() as portal:
        stream = portal[path]
        assert stream.read() == b"abc" and stream.etag != before
        assert stream._p_serial.hex() == made
        assert portal.catalog(path=path, size=3).count() == 1


def test_replace_starts_over(portal: Portal) -> None:
    stream = portal.new("Data Stream")
    stream.append(b"old bytes")
    assert stream.replace(b"new") == 0 and stream.read() == b"new"
    stream.replace()
    assert stream.size == 0 and stream.read() == b""


def test_truncate_forgets_the_rest_and_is_another_edition(site: Site) -> None:
    path, _ = site.transact(lambda p: p.new("Data Stream").path)
    site.transact(lambda p: p[path].append(b"0123456789"))
    with site.open() as portal:
        before = portal[path].edition, portal[path].etag
    site.transact(lambda p: p[path].truncate(4))
    with site.open() as portal:
        stream = portal[path]
        assert stream.read() == b"0123" and portal.catalog(path=path, size=4).count() == 1
        assert stream.edition != before[0] and stream.etag != before[1]
        assert stream.append(b"x") == 4


def test_an_expiry_is_the_same_edition(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "GENERATION_SIZE", 4)
    path, _ = site.transact(lambda p: p.new("Data Stream").path)
    site.transact(lambda p: p[path].append(b"0123456789"))
    with site.open() as portal:
        before = portal[path].edition, portal[path].etag
    site.transact(lambda p: p[path].expire(8))
    with site.open() as portal:
        assert portal[path].edition == before[0] and portal[path].etag != before[1]
        with pytest.raises(ExpiredError):
            portal[path].open().read()
        file = portal[path].open()
        assert file.seek(8) == 8 and file.read() == b"89"


def test_records_are_decoded_by_what_the_stream_is(portal: Portal) -> None:
    stream = portal.new("Data Stream", reference="events.ndjson")
    stream.append(b'{"a": 1}\n{"a": 2}\n{"a"')
    assert stream.decode() == ([{"a": 1}, {"a": 2}], 18)
    stream.append(b": 3}")
    assert stream.decode(18) == ([], 18)
    assert list(stream.records()) == [{"a": 1}, {"a": 2}, {"a": 3}]
    stream.edit(record_format="lines")
    assert stream.decode(0, 12) == (['{"a": 1}'], 9)


def test_records_begin_where_the_stream_does(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "GENERATION_SIZE", 4)
    stream = portal.new("Data Stream", content_type="text/csv")
    stream.append(b"a;b\nc;d\n" * 3)
    stream.expire(9)
    assert stream.decode() == ([["a", "b"], ["c", "d"]] * 2, 24)
    with pytest.raises(ExpiredError):
        stream.decode(0)


def test_records_of_a_long_stream_are_read_step_by_step(portal: Portal) -> None:
    stream = portal.new("Data Stream", content_type="application/msgpack")
    one = msgpack.packb([1, "x" * 1000])
    stream.append(one * 10_000)
    assert sum(record == [1, "x" * 1000] for record in stream.records()) == 10_000


def test_bytes_that_nobody_can_tell_must_be_named(portal: Portal) -> None:
    stream = portal.new("Data Stream", reference="a.bin")
    stream.append(b"\0\1\2")
    with pytest.raises(InvalidError, match="record_format"):
        stream.decode()
