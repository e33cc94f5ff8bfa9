"""What a device offers on its HTTP server: files that grow, or a page that changes.

A file that grows is read on from where it was read to, by `Range`.  The last bytes that were read are asked
for again: if they differ, it is another file, which is read from its beginning.  An answer without a length
(HTTP/1.0) may have been cut: its ETag is not kept, so that the next look asks for all of it.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import urllib3
from msgspec import Meta, field

from haywain.agent.links import links_below
from haywain.agent.source import Draft, Outlet, Seconds, SourceConfig
from haywain.agent.template import FILE_FIELDS, fields_of, word
from haywain.agent.witness import WITNESS_BYTES, Witness, behind
from haywain.errors import HaywainError, InvalidError

PAGE_BYTES = 16 << 20
READ_BYTES = 1 << 16


class _Config(SourceConfig, kw_only=True):
    urls: tuple[str, ...] = ()
    index: str = ""
    match: tuple[str, ...] = ("*",)
    depth: Annotated[int, Meta(ge=0, le=16)] = 0
    mode: Literal["grow", "changed", "always"] = "grow"
    interval_s: Seconds = 60.0
    timeout_s: Seconds = 30.0
    headers: dict[str, str] = field(default_factory=dict)
    login: str = ""
    ca_file: str | None = None

    def anchor(self, base: Path) -> None:
        """Look for a relative file of certificates below `base`."""
        self.ca_file = str(base / self.ca_file) if self.ca_file else None


class _DeviceError(HaywainError):
    """What a device answers cannot be used."""


class Pull:
    """Reads files of an HTTP server, given one by one or by an index page that links to them."""

    Config, fields, default_tag = _Config, (*FILE_FIELDS, "device"), "{device}.{path}"

    def __init__(self, config: _Config, outlet: Outlet) -> None:
        """Begin where each file was read to."""
        self._config, self._outlet = config, outlet
        self._headers = {**config.headers, "Accept-Encoding": "identity"}
        if config.login:
            self._headers |= urllib3.make_headers(basic_auth=config.login)
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(config.timeout_s), retries=False, ca_certs=config.ca_file
        )

    @staticmethod
    def describe(config: _Config) -> str:
        """Say what would be read."""
        if not config.urls and not config.index:
            raise InvalidError("urls, or an index, must be given")
        for url in (*config.urls, *filter(None, [config.index])):
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise InvalidError(f"this is no address of an HTTP server: {url!r}")
        what = [*config.urls, *([f"all that {config.index} links to"] if config.index else [])]
        return f"{', '.join(what)}, every {config.interval_s:g} s"

    def run(self) -> None:
        """Pull until the end is wanted; with `is_once` one time."""
        while not self._outlet.is_stopping():
            found, is_complete = self._all()
            is_well = is_complete
            for url in found:
                if self._outlet.is_stopping():
                    return
                is_well = self._try(url) and is_well
            if is_complete and found:  # an index without links is that of a device that starts
                self._forget(set(found))
            self._outlet.put()
            if is_well:
                self._outlet.fine()
            if self._outlet.is_once or self._outlet.wait(self._config.interval_s):
                return

    def _all(self) -> tuple[Sequence[str], bool]:
        """Return the addresses to read, and whether the index could be read."""
        if not self._config.index:
            return self._config.urls, True
        try:
            return [*self._config.urls, *self._crawl(self._config.index, self._config.depth)], True
        except (HaywainError, urllib3.exceptions.HTTPError, OSError) as error:
            self._outlet.trouble(f"{self._config.index} cannot be read: {error}")
            return self._config.urls, False

    def _crawl(self, url: str, depth: int) -> Iterator[str]:
        page = self._get(url, {})
        try:
            if page.status != 200:
                raise _DeviceError(f"it answers {page.status}")
            text = page.read(PAGE_BYTES).decode(errors="replace")
        finally:
            page.close()
        for link in links_below(text, url):
            name = unquote(PurePosixPath(urlsplit(link).path).name)
            if link.endswith("/"):
                if depth:
                    yield from self._crawl(link, depth - 1)
            elif any(fnmatch(name, pattern) for pattern in self._config.match):
                yield link

    def _try(self, url: str) -> bool:
        try:
            if self._config.mode == "grow":
                self._read_on(url)
            else:
                self._read_whole(url)
        except (HaywainError, urllib3.exceptions.HTTPError, OSError) as error:
            self._outlet.put()  # what came before the trouble
            self._outlet.trouble(f"{url} cannot be read: {error}")
            return False
        return True

    def _get(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            "GET", url, headers={**self._headers, **headers}, preload_content=False, redirect=False
        )

    def _read_on(self, url: str) -> None:
        etag, witness = "", Witness(0)
        if (position := self._outlet.positions.get(url)) is not None:
            etag, witness = position[0], Witness(*position[1:])
        headers = {"If-None-Match": etag} if etag else {}
        if witness.offset:
            headers["Range"] = f"bytes={witness.start}-"
        for asked in (witness, Witness(0)):
            answer = self._get(url, headers)
            try:
                if answer.status == 304:
                    return
                before = _read_up_to(answer, asked)
                if before is not None:
                    self._take(url, answer, asked, before)
                    return
            finally:
                answer.close()
            self._outlet.trouble(f"{url} is another file than before; it is read from its beginning")
            headers = {}

    def _take(self, url: str, answer: urllib3.BaseHTTPResponse, witness: Witness, before: bytes) -> None:
        """Put what comes from the offset on; also what came before a connection broke."""
        tag, limit = self._tag(url), self._config.frame_bytes
        held = bytearray()
        try:
            while data := answer.read1(min(READ_BYTES, limit - len(held))):
                held += data
                before = (before + data)[-WITNESS_BYTES:]
                witness = behind(witness.offset + len(data), before)
                if len(held) >= limit or self._outlet.is_stopping():
                    whole = bytes(held)
                    held.clear()  # first: if the spool does not take it, `finally` must not go on behind it
                    self._outlet.collect(Draft(tag, whole, url, ["", *witness]))
                if self._outlet.is_stopping():
                    return
        finally:
            if held:
                self._outlet.collect(Draft(tag, bytes(held), url, ["", *witness]))
        self._outlet.collect(Draft("", b"", url, [_etag(answer), *witness]))

    def _read_whole(self, url: str) -> None:
        etag, digest = self._outlet.positions.get(url) or ["", ""]
        is_changed_only = self._config.mode == "changed"
        answer = self._get(url, {"If-None-Match": etag} if etag and is_changed_only else {})
        try:
            if answer.status == 304:
                return
            if answer.status != 200:
                raise _DeviceError(f"it answers {answer.status}")
            body = answer.read(self._config.frame_bytes + 1)
        finally:
            answer.close()
        if len(body) > self._config.frame_bytes:
            raise _DeviceError(
                f"it is longer than frame_bytes ({self._config.frame_bytes}): mode grow reads it"
            )
        new = blake2b(body, digest_size=16).hexdigest()
        if new != digest or not is_changed_only:
            position: list[Any] = [_etag(answer), new]
            self._outlet.collect(Draft(self._tag(url), body, url, position))

    def _tag(self, url: str) -> str:
        parts = urlsplit(url)
        path = PurePosixPath(unquote(parts.path) or "/")
        return self._outlet.tag({**fields_of(path), "device": word(parts.hostname or "")})

    def _forget(self, there: set[str]) -> None:
        for url in [url for url in self._outlet.positions if url not in there]:
            self._outlet.collect(Draft("", b"", url))


def _etag(answer: urllib3.BaseHTTPResponse) -> str:
    """Return the ETag of an answer that is known to be whole; else an empty text."""
    is_bounded = "Content-Length" in answer.headers or "Transfer-Encoding" in answer.headers
    return answer.headers.get("ETag", "") if is_bounded else ""


def _read_up_to(answer: urllib3.BaseHTTPResponse, witness: Witness) -> bytes | None:
    """Read an answer up to the offset of a witness, and return the bytes before it; None if they differ.

    Raises _DeviceError.
    """
    if answer.status == 416 and witness.offset:
        return None
    if answer.status == 206:
        start = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0].strip()
        if start != str(witness.start):
            raise _DeviceError(f"it was asked for the bytes from {witness.start} on, not from {start}")
    elif answer.status == 200:
        left = witness.start  # a server without ranges sends all of it again
        while left and (data := answer.read(min(left, READ_BYTES))):
            left -= len(data)
    else:
        raise _DeviceError(f"it answers {answer.status}")
    before = answer.read(witness.offset - witness.start) if witness.offset else b""
    return before if witness.holds_for(before) else None
