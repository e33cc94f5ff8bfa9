"""Images: what browsers show is kept, anything else is refused."""

import io

import pytest
from PIL import Image as Picture

from haywain.errors import InvalidError
from haywain.portal import Portal, Site


def picture(kind: str, size: tuple[int, int] = (30, 20)) -> bytes:
    file = io.BytesIO()
    Picture.new("RGB", size, "red").save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_picture_is_kept(portal: Portal, kind: str) -> None:
    image, data = portal.new("Image", reference="x"), picture(kind)
    image.replace(data)
    assert (image.read(), image.size, image.content_type) == (data, len(data), f"image/{kind.lower()}")
    assert (image.width, image.height) == (30, 20)
    assert image.open().read() == b"".join(image.chunks()) == data


def test_replaced_picture_has_another_tag(site: Site) -> None:
    def make(portal: Portal) -> str:
        image = portal.new("Image")
        image.replace(picture("PNG"))
        return str(image.path)

    path = site.transact(make)[0]
    with site.open() as portal:
        before = portal[path].etag
    site.transact(lambda portal: portal[path].replace(picture("PNG", (20, 30))))
    with site.open() as portal:
        assert portal[path].etag != before and portal[path].width == 20


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", b"<svg xmlns='http://www.w3.org/2000/svg'/>", picture("BMP"), picture("PNG")[:60]],
    ids=["empty", "text", "svg", "bmp", "cut"],
)
def test_what_is_no_picture_is_refused(portal: Portal, data: bytes) -> None:
    image = portal.new("Image")
    image.replace(picture("PNG"))
    with pytest.raises(InvalidError, match="This is no PNG, JPEG, GIF or WebP"):
        image.replace(data)
    assert image.read() == picture("PNG")
