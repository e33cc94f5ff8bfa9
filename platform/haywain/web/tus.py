"""`/{path}/uploads`: resumable uploads by the tus protocol, version 1.0 (https://tus.io/protocols/resumable-upload).

The bytes go straight into piece files (`web/server.py`), also those of a connection that is cut; when all are
there, one transaction puts them into the stream.  Uploads are not joined (concatenation): a stream that grows
by several uploads is what that is for, and each of them is put into it as it is complete.
"""

import base64
from email.utils import formatdate
from urllib.parse import quote

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain import clock
from haywain.document import Document
from haywain.errors import InvalidError, NotFoundError, PreconditionError, UnsupportedMediaError
from haywain.ingestion.placement import complete_upload
from haywain.interfaces import IWritableStream
from haywain.security import require
from haywain.store.checksum import ALGORITHMS, Checksum
from haywain.store.pieces import Pieces
from haywain.store.upload import MODES, Upload, UploadInfo
from haywain.web.parser import TUS_VERSION as VERSION
from haywain.web.parser import UPLOAD_TYPE

EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
_HEADERS = [("Cache-Control", "no-store")]


def options(context: Document, request: Request) -> Response:
    """Tell what is supported; the most that fits is what the disk has room for now."""
    headers = [
        ("Tus-Resumable", VERSION),
        ("Tus-Version", VERSION),
        ("Tus-Extension", EXTENSIONS),
        ("Tus-Checksum-Algorithm", ",".join(ALGORITHMS)),
        ("Tus-Max-Size", str(request.site.uploads.room_bytes())),
    ]
    return Response(b"", status=204, headerlist=[*headers, *_HEADERS])


def create(context: Document, request: Request) -> Response:
    """Begin an upload of `Upload-Length` bytes, of which the first may come along.

    `Upload-Metadata` names the mode and the file.
    """
    _check_version(request)
    require(request.user, "edit", context)
    uploads = request.site.uploads
    info, body = _announced(context, request), _first_bytes(request)
    uploads.check_room(info.length)
    upload = uploads.get(uploads.create(info, body))
    if upload.is_complete:
        complete_upload(request.site, upload, request.user)
    location = ("Location", f"/{quote(context.path)}/uploads/{upload.id}")
    offset = [("Upload-Offset", str(upload.offset))] if body is not None else []
    headers = [*_HEADERS, location, *offset, *_expiry(request, upload), ("Content-Length", "0")]
    return Response(b"", status=201, headerlist=headers)


def head(context: Document, request: Request) -> Response:
    """Tell how far an upload is; one whose bytes are all here is put into the stream first."""
    _check_version(request)
    upload = _upload(context, request)
    if upload.is_complete:
        complete_upload(request.site, upload, request.user)
    headers = [("Upload-Offset", str(upload.offset)), ("Upload-Length", str(upload.info.length))]
    if upload.info.metadata:
        headers.append(("Upload-Metadata", upload.info.metadata))
    headers += [*_expiry(request, upload), ("Content-Length", "0")]
    return Response(b"", status=200, headerlist=[*_HEADERS, *headers])


def patch(context: Document, request: Request) -> Response:
    """Answer for bytes that have been written already; the last ones complete the upload."""
    _check_version(request)
    upload = _upload(context, request)
    if upload.is_complete:
        complete_upload(request.site, upload, request.user)
    headers = [*_HEADERS, ("Upload-Offset", str(upload.offset)), *_expiry(request, upload)]
    return Response(b"", status=204, headerlist=headers)


def remove(context: Document, request: Request) -> Response:
    """End an upload and forget its bytes."""
    _check_version(request)
    upload = _upload(context, request)
    request.site.uploads.discard(upload.id)
    return Response(b"", status=204, headerlist=_HEADERS)


def _announced(context: Document, request: Request) -> UploadInfo:
    """Return what an upload will be for; raises InvalidError."""
    if "Upload-Concat" in request.headers:
        raise InvalidError("Uploads are not joined here (Upload-Concat); send the parts one after another")
    header = request.headers.get("Upload-Metadata", "")
    metadata = parse_metadata(header)
    mode = metadata.get("mode", "append")
    if mode not in MODES:
        raise InvalidError(f"The mode of an upload is append or replace, not {mode[:40]!r}")
    return UploadInfo(
        path=context.path,
        length=_number(request, "Upload-Length"),
        mode=mode,
        filename=metadata.get("filename", "")[:255],
        user=request.user.login,
        created=clock.now_s(),
        token_path=request.user.token or None,
        metadata=header,
    )


def _first_bytes(request: Request) -> Pieces | None:
    """Return the bytes that came with a creation, checked; None if none did."""
    pieces: Pieces | None = request.environ.get("haywain.pieces")
    if pieces is None and not request.body:
        return None
    if request.content_type != UPLOAD_TYPE:
        raise UnsupportedMediaError(f"Bytes of an upload come as {UPLOAD_TYPE}")
    if pieces is None:
        pieces = request.site.uploads.temporary()
        pieces.append(request.body)
        request.add_finished_callback(lambda _: pieces.discard())  # unless it became the upload's
    if pieces.size > _number(request, "Upload-Length"):
        raise InvalidError("More bytes were sent than the upload has")
    if "Upload-Checksum" in request.headers:
        checksum = Checksum(request.headers["Upload-Checksum"])
        for chunk in pieces.chunks():
            checksum.update(chunk)
        checksum.check()
    return pieces


def _expiry(request: Request, upload: Upload) -> list[tuple[str, str]]:
    """Return until when an upload is kept that is not complete."""
    if upload.is_complete:
        return []
    expires = request.site.uploads.expires(upload.id, request.site.settings.upload_hours * 3600)
    return [("Upload-Expires", formatdate(expires, usegmt=True))]


def _upload(context: Document, request: Request) -> Upload:
    if len(request.subpath) != 1:
        raise NotFoundError("There is no such upload")
    upload: Upload = request.site.uploads.get(request.subpath[0])
    if upload.info.path != context.path:
        raise NotFoundError("There is no such upload here")
    return upload


def _check_version(request: Request) -> None:
    """Name the version in the answer, whatever that will be; raise PreconditionError for another one."""
    request.add_response_callback(_name_version)
    if request.headers.get("Tus-Resumable") != VERSION:
        raise PreconditionError(f"Send Tus-Resumable: {VERSION}")


def _name_version(request: Request, response: Response) -> None:
    response.headers["Tus-Resumable"] = VERSION
    if response.status_int == 412:
        response.headers["Tus-Version"] = VERSION


def _number(request: Request, name: str) -> int:
    value = request.headers.get(name, "")
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise InvalidError(f"{name} is a number of bytes")
    return int(value)


def parse_metadata(header: str) -> dict[str, str]:
    """Return the pairs of Upload-Metadata: `key base64, key base64`; raises InvalidError.

    >>> parse_metadata("mode cmVwbGFjZQ==, filename YS53YXY=")
    {'mode': 'replace', 'filename': 'a.wav'}
    """
    found = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode("utf-8")
        except ValueError:  # also of what is no ASCII
            raise InvalidError(f"Upload-Metadata: the value of {name[:40]!r} is no base64 of UTF-8") from None
    return found


def includeme(config: Configurator) -> None:
    """Register the uploads of all streams that can be written to."""
    at = {"name": "uploads", "context": IWritableStream, "takes_subpath": True}
    config.add_view(options, request_method="OPTIONS", permission="view", require_csrf=False, **at)
    config.add_view(create, request_method="POST", permission="edit", **at)
    config.add_view(head, request_method="HEAD", permission="edit", **at)
    config.add_view(patch, request_method="PATCH", permission="edit", **at)
    config.add_view(remove, request_method="DELETE", permission="edit", **at)
