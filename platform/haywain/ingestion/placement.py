"""Put bytes that were sent to a stream's own address there: append, replace, or append at an offset.

Each is one transaction, with the key of the request in the ledger where it has one.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from haywain.document import Document
from haywain.errors import DuplicateError, HaywainError, NotFoundError, OffsetError, TemporaryError
from haywain.ingestion.ledger import BodyIdentity, Ledger, ledger_key
from haywain.ingestion.precondition import Precondition
from haywain.interfaces import IWritableStream
from haywain.portal import Portal, Site
from haywain.security import ANONYMOUS, User, require
from haywain.security.accounts import Account, Credential
from haywain.store.pieces import Pieces
from haywain.store.upload import Upload, UploadInfo
from haywain.values import MIB, Offset, Receipt

_log = logging.getLogger(__name__)


class WritableStream(Protocol):
    """What bytes are put into."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    @property
    def etag(self) -> str:
        """A strong entity tag without its quotes."""

    def hold(self) -> None:
        """Conflict with whoever changes the bytes before this transaction commits."""

    def append(self, data: bytes) -> Offset:
        """Add bytes at the end."""

    def append_files(self, paths: list[object]) -> Offset:
        """Add files at the end, as segments."""

    def replace(self, data: bytes = b"") -> Offset:
        """Start over with these bytes."""


@dataclass(frozen=True)
class Body:
    """Bytes of a request: in memory, or in piece files where there are many."""

    data: bytes = b""
    pieces: Pieces | None = None

    def put(self, stream: WritableStream) -> tuple[Offset, int]:
        """Append them; return where they begin and how many they are."""
        if self.pieces is None:
            return stream.append(self.data), len(self.data)
        size = self.pieces.size
        if size <= MIB:  # one Record, read back with less work than a blob of its own
            return stream.append(b"".join(self.pieces.chunks())), size
        return stream.append_files(list(self.pieces.paths())), size

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes."""
        return iter([self.data]) if self.pieces is None else self.pieces.chunks()

    def fsync(self) -> None:
        """Flush what lies in files, before the commit takes its lock."""
        if self.pieces is not None:
            self.pieces.fsync()


@dataclass(frozen=True)
class Placement:
    """What is to be done with a body: `append` or `replace`, `at` an offset if one is given, under a key.

    `only_if` is what must hold of the bytes that are there.
    """

    path: str
    mode: str
    body: Body
    at: int | None = None
    key: str = ""
    only_if: Precondition = field(default_factory=Precondition)


def place(site: Site, placement: Placement, user: User) -> Receipt:
    """Do it, and return the receipt after the commit.

    What the key says is stored already is not stored again, whatever is demanded of the bytes by then.
    Raises NotFoundError, ForbiddenError, OffsetError with the actual size, PreconditionError, DuplicateError
    if the key was used for other bytes, TemporaryError.
    """
    if site.stopping.is_set():
        raise TemporaryError("The portal is stopping; send it again in a moment", 5)
    placement.body.fsync()
    identity = BodyIdentity.of(placement.body.chunks()) if placement.key else None
    lock = _lock_of(site, placement.path)

    def work(portal: Portal) -> Receipt:
        return _place(portal, placement, identity)

    if placement.body.pieces is None:
        receipt, tid = site.together(work, user, lock, len(placement.body.data))
    else:  # its files become blobs, which takes a while: alone
        receipt, tid = site.transact(work, user, lock=lock)
    return receipt if receipt.tid else replace(receipt, tid=tid)


def _place(portal: Portal, placement: Placement, identity: BodyIdentity | None) -> Receipt:
    document = _writable(portal, placement.path)
    ledger, key = Ledger.of(portal.root), b""
    if identity is not None:
        name = f"{placement.mode} {placement.path}"
        key = ledger_key(portal.user.token or portal.user.login, name, placement.key)
        known = ledger.find(key)
        if known is not None and known.matches(identity):
            return known.receipt()
        if known is not None:
            raise DuplicateError("The Idempotency-Key was used for other bytes; use another key")
    stream = cast(WritableStream, document)
    if placement.at is not None and stream.size != placement.at:
        raise OffsetError(placement.at, stream.size)
    if placement.only_if:
        stream.hold()
        placement.only_if.check(stream.etag, stream.size)
    receipt = _put(document, stream, placement.mode, placement.body)
    if identity is not None:
        ledger.add(key, receipt, identity, portal.site.settings.ledger_days)
    return receipt


def complete_upload(site: Site, upload: Upload, user: User) -> None:
    """Put a complete upload into its stream: once, whatever dies in between, its id being the key.

    Raises NotFoundError if the stream is gone, ForbiddenError, TemporaryError.
    """
    if upload.info.finished:
        return
    body = Body(pieces=upload.pieces)
    try:
        body.fsync()
    except FileNotFoundError:
        if site.uploads.get(upload.id).info.finished:  # by another request, meanwhile
            return
        raise
    key = ledger_key("", "upload", upload.id)
    identity = BodyIdentity(upload.info.length, key)

    def work(portal: Portal) -> None:
        ledger = Ledger.of(portal.root)
        if ledger.find(key) is not None:
            return
        document = _writable(portal, upload.info.path)
        receipt = _put(document, cast(WritableStream, document), upload.info.mode, body)
        ledger.add(key, receipt, identity, portal.site.settings.ledger_days)

    site.transact(work, user, lock=_lock_of(site, upload.info.path))
    site.uploads.finish(upload.id)


def finish_uploads(site: Site) -> int:
    """Put into their streams the complete uploads that a killed process left; return how many.

    Each with the rights that its user has now; one that may not be put stays until it expires.  What keeps it
    is logged once, not at each try.
    """
    done, waiting = 0, site.uploads.complete()
    site.refused_uploads &= {told for told in site.refused_uploads if told[0] in {u.id for u in waiting}}
    for upload in waiting:
        try:
            complete_upload(site, upload, _user_now(site, upload.info))
            done += 1
        except (HaywainError, OSError) as error:
            told = upload.id, str(error)
            if told not in site.refused_uploads:
                site.refused_uploads.add(told)
                _log.warning("the upload %s stays as it is: %s", *told)
    return done


def _user_now(site: Site, info: UploadInfo) -> User:
    """Return who began an upload, with the rights that person has now, or the token that was used."""
    with site.open() as portal:
        if info.token_path is not None:
            try:
                token = cast("Credential", portal[info.token_path])
            except NotFoundError:
                return ANONYMOUS
            return token.user_of(portal.root) or ANONYMOUS
        person = cast("Account | None", portal.root.find("login", info.user))
        return person.user() if person is not None and person.state == "validated" else ANONYMOUS


def _lock_of(site: Site, path: str) -> str:
    """Return the lock of a stream: that of its tag where it is a sink, since deliveries take that one.

    Else a large upload, which takes seconds, would meet a conflict with a quick delivery at every try.
    """
    with site.open() as portal:
        sinks = (claim[len("sink:") :] for claim in portal[path].claims if claim.startswith("sink:"))
        tags = (f"sink:{sink.rpartition('/')[2]}" for sink in sinks)  # it may stand behind its policy
        return next(tags, f"stream:{path}")


def _writable(portal: Portal, path: str) -> Document:
    document = portal[path]
    require(portal.user, "edit", document)
    if not IWritableStream.providedBy(document):
        raise DuplicateError(f"{path} is a {document.portal_type}; its bytes cannot be changed")
    return document


def _put(document: Document, stream: WritableStream, mode: str, body: Body) -> Receipt:
    if mode == "replace":
        stream.replace()
    offset, length = body.put(stream)
    return Receipt("stored", document.path, offset, length)
