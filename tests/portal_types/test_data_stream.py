"""Data Stream: a document whose bytes lie beside it."""

import pytest

from haywain.errors import InvalidError
from haywain.portal import Portal, Site

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
