"""`/static`: scripts, styles and icons, in memory, compressed once, under an address that changes with them.

The files are few and small, and a dictionary of them can only ever give out what is in it.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

FOLDER = Path(__file__).resolve().parents[2] / "templates" / "static"
_TEXT = ("text/", "application/javascript", "application/json", "image/svg+xml")
_BEFORE = {"css/haywain.css": "vendor/pico-2.1.1/pico.min.css"}
"""Sent in one file, the second first: between two, a page asks for pictures that the later one replaces."""

_types = mimetypes.MimeTypes(filenames=())


@dataclass(frozen=True)
class Asset:
    """A file as it is sent; `packed` is empty where compressing it does not pay."""

    body: bytes
    packed: bytes
    media_type: str
    digest: str

    @classmethod
    def of(cls, name: str, body: bytes) -> "Asset":
        """Return the asset of a file's name and content."""
        media_type = _types.guess_type(name)[0] or "text/plain"
        packed = gzip.compress(body, 9, mtime=0) if media_type.startswith(_TEXT) else b""
        digest = hashlib.sha256(body).hexdigest()[:16]
        return cls(body, packed if len(packed) < len(body) else b"", media_type, digest)


class Assets:
    """All files under a folder, by their path in it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read them."""
        found = (path for path in sorted(folder.rglob("*")) if path.is_file())
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
        for name, before in _BEFORE.items():
            if name in files and before in files:
                files[name] = files[before] + b"\n" + files[name]
        self._assets = {name: Asset.of(name, body) for name, body in files.items()}

    def get(self, name: str) -> Asset | None:
        """Return an asset by its path."""
        return self._assets.get(name)

    def url(self, name: str) -> str:
        """Return the address of an asset; raises KeyError."""
        return f"/static/{name}?v={self._assets[name].digest}"


def show(request: Request) -> Response:
    """Answer a file; whoever asks for the version that there is may keep it for a year."""
    asset: Asset | None = request.registry["assets"].get("/".join(request.matchdict["subpath"]))
    if asset is None:
        return Response(b"There is no such file\n", status=404, content_type="text/plain", charset="utf-8")
    response = Response(asset.body, content_type=asset.media_type, charset=None, etag=asset.digest)
    response.headers["Content-Type"] = _with_charset(asset.media_type)
    response.headers["Vary"] = "Accept-Encoding"
    is_current = request.GET.get("v") == asset.digest
    response.headers["Cache-Control"] = (
        "public, max-age=31536000, immutable" if is_current else "public, max-age=3600"
    )
    if asset.packed and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.body, response.content_encoding = asset.packed, "gzip"
        response.etag = f"{asset.digest}-gzip"
    response.conditional_response = True
    return response


def _with_charset(media_type: str) -> str:
    return f"{media_type}; charset=utf-8" if media_type.startswith(_TEXT) else media_type


def includeme(config: Configurator) -> None:
    """Register the files for everybody; they need no database."""
    config.registry["assets"] = Assets()
    config.add_route("static", "/static/*subpath", factory=lambda _request: None)
    config.add_view(show, route_name="static", request_method="GET", permission="__no_permission_required__")
