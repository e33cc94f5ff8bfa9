"""More clients than threads: those that are slow do not keep the others out."""

import http.client
import os
from collections import Counter
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pytest
import urllib3
from tests.functional.program import ADMIN, Make, until

from haywain.values import MIB


@pytest.mark.parametrize(("threads", "let_in"), [("8", 4), ("1", 2)])
def test_readers_that_stop_reading_hold_half_of_the_threads(make: Make, threads: str, let_in: int) -> None:
    program = make(HAYWAIN_THREADS=threads).start()
    client = program.client()
    path = client.stream("large", os.urandom(MIB) * 32)
    with ExitStack() as readers:
        answers = []
        for _ in range(12):
            connection = http.client.HTTPConnection(urlsplit(program.url).netloc, timeout=10)
            readers.enter_context(closing(connection))
            connection.request("GET", f"/{path}/data", headers=ADMIN)
            answers.append(connection.getresponse())
        assert Counter(answer.status for answer in answers) == {200: let_in, 503: 12 - let_in}
        assert {answer.headers["Retry-After"] for answer in answers if answer.status == 503} == {"5"}
        assert urllib3.request("GET", f"{program.url}/healthz", timeout=5, retries=False).status == 200
        assert client.ingest("meanwhile", b"stored").is_stored
        assert client("GET", f"/{path}/data", None, {"Range": "bytes=0-9"}).status == 206
        kept = next(answer for answer in answers if answer.status == 200)
        assert len(kept.read()) == 32 * MIB
        until(lambda: client("GET", f"/{path}/data").status == 200, "the thread that has become free")
