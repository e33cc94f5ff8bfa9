"""Image: a picture, such as that of a spectrogram."""

import io
import warnings
from collections.abc import Iterator

from zope.interface import implementer

from haywain.document import Document
from haywain.errors import InvalidError
from haywain.interfaces import IByteStream
from haywain.store.database import tid_of
from haywain.store.stream import Stream

FORMATS = {"GIF": "image/gif", "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""What browsers show and what cannot hold a script, with its media type."""

SIZE_MAX_BYTES = 64 << 20


@implementer(IByteStream)
class Image(Document):
    """A PNG, JPEG, GIF or WebP; its bytes are replaced as a whole."""

    portal_type = "Image"
    module_id = "image_module"
    is_addable = False
    icon = "image"

    content_type = "image/png"
    width = 0
    height = 0

    def __init__(self, /, **properties: object) -> None:
        """Begin without a picture."""
        super().__init__(**properties)
        self._stream = Stream()

    def replace(self, data: bytes) -> None:
        """Show these bytes instead; raises InvalidError if they are no picture that browsers show."""
        self.content_type, self.width, self.height = _look_at(data)
        self._stream.replace()
        self._stream.append(data)
        self.reindex()

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._stream.size

    @property
    def modified(self) -> float:
        """When picture or properties last changed, in seconds since 1970 UTC."""
        return max(self.edited, self._stream.modified)

    @property
    def etag(self) -> str:
        """A strong entity tag; it changes with the bytes."""
        self._stream._p_activate()
        return f"{tid_of(self._stream)}-{self.size:x}"

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes [start, stop), or fewer where they end."""
        return self._stream.read(start, stop)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop) in pieces."""
        return self._stream.chunks(start, stop)

    def open(self) -> io.BufferedReader:
        """Return a seekable file over the bytes."""
        return self._stream.open()


def _look_at(data: bytes) -> tuple[str, int, int]:
    """Return media type, width and height; raises InvalidError."""
    from PIL import Image as Picture

    if len(data) > SIZE_MAX_BYTES:
        raise InvalidError(f"A picture has at most {SIZE_MAX_BYTES} bytes, not {len(data)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Picture.DecompressionBombWarning)
            with Picture.open(io.BytesIO(data), formats=tuple(FORMATS)) as picture:
                picture.verify()
                return FORMATS[picture.format or ""], picture.width, picture.height
    except Exception as error:  # a damaged picture raises what it likes
        raise InvalidError(f"This is no PNG, JPEG, GIF or WebP: {error}"[:500]) from error
