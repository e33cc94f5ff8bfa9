"""Agents that never give up: each sends its chunks in order, and each chunk until it is acknowledged."""

import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import urllib3
from tests.campaign.records import encode
from tests.functional import tus
from tests.functional.program import Answer, Client, Headers

from haywain.values import KIB, MIB

PATIENCE_S = 300  # on a busy machine a program that is killed within 0.6 s may answer one agent late
TRY_AGAIN = (423, 503)


class Sender(threading.Thread):
    """Sends chunks of whole records until it is told to stop; then the last chunk is acknowledged."""

    least, most = 10, 4 * KIB  # bytes of a payload

    def __init__(self, number: int, url: str, headers: Headers, target: str) -> None:
        """Send as this number to a tag or to the path of a stream."""
        super().__init__(name=f"sender-{number}", daemon=True)
        self.number, self.target = number, target
        self.client = Client(url, headers, connections=1)
        self.random = random.Random(number)
        self.stopping = threading.Event()
        self.sent = self.chunks = self.retries = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Send; what goes wrong is kept for `finish`."""
        try:
            while not self.stopping.is_set():
                records = self.random.randint(1, 4)
                chunk = b"".join(self._record(self.sent + n) for n in range(records))
                self.send(chunk, f"{self.number}-{self.chunks}")
                self.sent, self.chunks = self.sent + records, self.chunks + 1
        except BaseException as error:
            self.error = error
        finally:
            self.client.close()

    def finish(self) -> None:
        """Stop after the chunk that is being sent; raise what went wrong."""
        self.stopping.set()
        self.join(2 * PATIENCE_S)
        if self.error is not None:
            raise self.error
        assert not self.is_alive()

    def send(self, chunk: bytes, key: str) -> None:
        """Have one chunk acknowledged."""
        self.insist(lambda: self.client.ingest(self.target, chunk, key))

    def insist(self, ask: Callable[[], Answer], also: Iterable[int] = ()) -> Answer:
        """Ask until the answer is no failure that may pass; statuses in `also` are answers too."""
        deadline, last = time.monotonic() + PATIENCE_S, ""
        while True:
            try:
                answer = ask()
                last = f"{answer.status} {answer.body!r}"
                if answer.status not in TRY_AGAIN:
                    assert answer.status < 300 or answer.status in also, (answer.status, answer.body)
                    return answer
            except urllib3.exceptions.HTTPError as error:
                last = repr(error)
            self.retries += 1
            assert time.monotonic() < deadline, f"no acknowledgement within {PATIENCE_S} s, but {last}"
            self.stopping.wait(0.02)
            time.sleep(0.02)

    def _record(self, sequence: int) -> bytes:
        payload = self.random.randbytes(self.random.randint(self.least, self.most))
        return encode(self.number, sequence, payload)


class Appender(Sender):
    """Appends to a stream by its address; its bodies go to memory and to files in turns."""

    def send(self, chunk: bytes, key: str) -> None:
        """Have one chunk acknowledged."""
        self.most = 4 * KIB if self.chunks % 2 else MIB
        path = f"/{self.target}/data"
        self.insist(lambda: self.client("POST", path, chunk, {"Idempotency-Key": key}))


class Replacer(Sender):
    """Replaces a stream again and again; what it sent last is what must be there."""

    most = 512 * KIB
    last = b""

    def send(self, chunk: bytes, key: str) -> None:
        """Have one chunk acknowledged."""
        path = f"/{self.target}/data"
        self.insist(lambda: self.client("PUT", path, chunk, {"Idempotency-Key": key}))
        self.last = chunk


class Uploader(Sender):
    """Appends to a stream by tus, in parts, going on where the bytes end."""

    least, most = 100 * KIB, MIB
    part = 256 * KIB

    def send(self, chunk: bytes, key: str) -> None:
        """Have one chunk acknowledged."""
        length = {"Upload-Length": str(len(chunk))}
        made = self.insist(lambda: self.client("POST", f"/{self.target}/uploads", None, tus.VERSION | length))
        upload = made.headers["Location"]
        while (at := self._offset(upload)) < len(chunk):
            with suppress(urllib3.exceptions.HTTPError):
                while at < len(chunk):
                    answer = tus.patch(self.client, upload, at, chunk[at : at + self.part])
                    assert answer.status in (204, 409, *TRY_AGAIN), (answer.status, answer.body)
                    if answer.status != 204:
                        break
                    at = int(answer.headers["Upload-Offset"])
            self.retries += at < len(chunk)

    def _offset(self, upload: str) -> int:
        answer = self.insist(lambda: self.client("HEAD", upload, None, tus.VERSION))
        return int(answer.headers["Upload-Offset"])
