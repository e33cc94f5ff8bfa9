"""The page of a stream: hear it, look at its bytes, add a file, know how programs get at it."""

import shlex
from typing import Any, cast

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document
from haywain.errors import InvalidError, NotFoundError
from haywain.ingestion.placement import Body, Placement, place
from haywain.interfaces import ByteStream, IByteStream, IWritableStream
from haywain.security import may
from haywain.store.upload import MODES
from haywain.web.documents import json_response
from haywain.web.expired import first_of
from haywain.web.pages.document import Fact, links_of
from haywain.web.pages.figures import Moment, count_text, duration_text, size_text
from haywain.web.pages.page import Values, add_page, command_of, head_of, name_of, see, url_of
from haywain.web.pages.preview import preview_of
from haywain.web.pages.recording import PCM, Recording, outline_of, recording_of
from haywain.web.pages.runs import runs_of
from haywain.web.pages.watching import watching_of


def show(context: Document, request: Request) -> Values:
    """Show a stream."""
    stream = cast(ByteStream, context)
    recording = recording_of(stream)
    return {
        "head": head_of(context, request),
        "size": size_text(stream.size),
        "facts": _facts(context, request),
        "description": context.properties.description,
        "recording": _recording_facts(recording) if recording else (),
        "duration": recording.duration_s if recording else 0,
        "draws": recording is not None and recording.can_be_drawn,
        "preview": preview_of(stream, request),
        "from_start": f"start={first_of(stream)}&" if first_of(stream) else "",
        "may_add": IWritableStream.providedBy(context) and may(request.user, "edit", context),
        "commands": _commands(context, request),
        "runs": runs_of(context, request),
        "watching": watching_of(context, request),
    }


def _facts(document: Document, request: Request) -> list[Fact]:
    stream = cast(ByteStream, document)
    return [
        Fact("Exactly", count_text(stream.size, "byte")),
        *_kept_facts(stream),
        Fact("Content type", stream.content_type),
        *links_of(document, request),
        Fact("Last change", "", moment=Moment.at(document.modified)),
        Fact("Created", "", moment=Moment.at(document.created)),
        Fact("Path", document.path),
    ]


def _kept_facts(stream: ByteStream) -> list[Fact]:
    """Tell what has expired, and what compression spares."""
    begin, found = first_of(stream), []
    stored = int(getattr(stream, "stored_bytes", stream.size - begin))
    if begin:
        found.append(Fact("Begins at byte", f"{begin:,}; what came before has expired"))
    if stored < stream.size - begin:
        share = 100 * stored / (stream.size - begin)
        found.append(Fact("Stored in", f"{size_text(stored)}, {share:.0f} %"))
    return found


def _recording_facts(recording: Recording) -> tuple[str, ...]:
    coding = "integer" if recording.coding == PCM else "float" if recording.can_be_drawn else "coded"
    channels = {1: "mono", 2: "stereo"}.get(recording.channels, f"{recording.channels} channels")
    length, rate = duration_text(recording.duration_s), f"{recording.rate / 1000:g} kHz"
    return length, rate, channels, f"{recording.bits} bit {coding}"


def _commands(document: Document, request: Request) -> tuple[tuple[str, str], ...]:
    """Return what a person can paste into a shell."""
    address, login = url_of(request, document.path) + "/data", shlex.quote(request.user.login)
    name, url = shlex.quote(name_of(document).replace("/", "_")), shlex.quote(address)
    begin = first_of(cast(ByteStream, document))
    whole = shlex.quote(f"{address}?start={begin}") if begin else url
    read = ("Read it", command_of(f"curl --user {login}", f"--output {name}", whole))
    kind = "--header 'Content-Type: application/octet-stream'"
    write = ("Append a file", command_of(f"curl --user {login}", kind, "--data-binary @FILE", url))
    return (read, write) if may(request.user, "edit", document) else (read,)


def upload(context: Document, request: Request) -> Response:
    """Append a file of a form, or replace the bytes by it: the way of browsers without scripts."""
    file, mode = request.POST.get("file"), request.POST.get("mode", "append")
    if not hasattr(file, "file") or not file.filename:
        raise InvalidError("Choose a file first")
    if mode not in MODES:
        raise InvalidError("A file is appended, or it replaces the bytes; choose one")
    place(request.site, Placement(context.path, mode, Body(file.file.read())), request.user)
    return see(request, context.path, "appended" if mode == "append" else "replaced")


def peaks(context: Document, request: Request) -> Response:
    """Answer the outline of a recording as JSON; it is made anew only when the bytes change."""
    stream: Any = context  # Any: a Document that is a ByteStream
    response = json_response({}, etag=f"{stream.etag}-peaks")
    if response.etag in request.if_none_match and request.headers.get("If-None-Match"):
        return Response(status=304, etag=response.etag)
    recording = recording_of(stream)
    if recording is None or not recording.can_be_drawn:
        raise NotFoundError("There is no recording in this stream that could be drawn")
    response.json = outline_of(stream, recording).as_dict() | {"duration": recording.duration_s}
    return response


def includeme(config: Configurator) -> None:
    """Register the page of every kind that can be written to, and what it needs."""
    add_page(config, show, "data_stream", context=IWritableStream)
    config.add_view(peaks, context=IByteStream, name="peaks", request_method="GET", permission="view")
    config.add_view(upload, context=IWritableStream, name="upload", request_method="POST", permission="edit")
