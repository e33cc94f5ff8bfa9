"""Bodies that no agent would send: each is stored or quarantined, quickly and in little memory.

HAYWAIN_EXAMPLES=50000 HYPOTHESIS_PROFILE=campaign pytest -n 0 -m campaign tests/campaign/test_fuzz_bodies.py
"""

import gzip
import json
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import msgpack
import psutil
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.functional.program import Client, Program

from haywain.values import MIB

POLICIES = ("default", "append_as_is", "ndjson", "msgpack", "csv", "wav", "bucket")
TYPES = (
    "application/octet-stream",
    "application/x-ndjson",
    "application/json",
    "application/msgpack",
    "application/x-msgpack",
    "application/x-www-form-urlencoded",
    "text/csv",
    "text/plain; charset=utf-8",
    "audio/wav",
    "multipart/form-data; boundary=x",
    "",
    "\xff\xfe",
)
MEMORY_BYTES = 256 * MIB
SLOWEST_S = 5
"""On a busy machine; the bombs of the tests of records are bound to less."""

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=30)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=30,
)


def packed(value: object) -> bytes:
    try:
        return bytes(msgpack.packb([1_700_000_000, value]))
    except (ValueError, OverflowError):  # 2**63 and more
        return b"\x92\x01\x80"


def written(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass") + b"\n"


def table(rows: list[list[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in rows).encode("utf-8", "surrogatepass")


good = (
    st.lists(values.map(packed), max_size=5).map(b"".join)
    | st.lists(values.map(written), max_size=5).map(b"".join)
    | values.map(written)
    | st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=4), max_size=6).map(table)
    | st.binary(max_size=300).map(lambda data: b"data_chunk=" + quote(data).encode())
    | st.binary(max_size=64).map(lambda data: b"RIFF\x24\0\0\0WAVEfmt " + data)
)
mutated = st.tuples(good, st.integers(0, 2000), st.binary(max_size=9), st.integers(0, 9)).map(
    lambda found: found[0][: found[1]] + found[2] + found[0][found[1] + found[3] :]
)
bodies = good | mutated | st.binary(max_size=2000)
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
    "gzip, zstd": lambda data: zstandard.compress(gzip.compress(data)),
    "br": bytes,
    "identity": bytes,
}
GOOD_TAGS = ("fuzz.a", "fuzz.b", "fuzz")
BAD_TAGS = ("a/b", "", "%00", "%ff", "..", "_x", "é", "x" * 300)
tags = st.sampled_from(GOOD_TAGS * 6 + BAD_TAGS) | st.sampled_from(GOOD_TAGS)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Idempotency-Key": st.text("ab\xff ", max_size=3).map(str.strip),
        "Producer-Id": st.sampled_from(["p", "", "x" * 200]),
        "Producer-Epoch": st.sampled_from(["1", "0", "-1", "x", "9" * 30]),
        "Producer-Seq": st.sampled_from(["0", "1", "", "1e3"]),
        "Content-Disposition": st.sampled_from(['attachment; filename="a.wav"', "filename=", "\xff;;="]),
    },
)


class Fuzzed:
    """The program that is sent to, and what it answered."""

    def __init__(self, program: Program) -> None:
        self.client: Client = program.client()
        self.process = psutil.Process(program.pid)
        self.before = self.process.memory_info().rss
        self.answers, self.slowest_s, self.most_bytes = Counter[str](), 0.0, 0

    def send(
        self, policy: str, tag: str, kind: str, encoding: str, body: bytes, more: dict[str, str]
    ) -> None:
        """Send one; what comes back must be no error of ours, and come soon."""
        sent = {"Content-Type": kind, "Content-Encoding": encoding} | more
        began = time.monotonic()
        answer = self.client(
            "POST", f"/portal_ingestion_policies/{policy}/ingest?reference={tag}", body, sent
        )
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.answers[answer.headers.get("Ingest-Status", str(answer.status))] += 1
        assert answer.status in (200, 409, 413), (answer.status, answer.body)
        if sum(self.answers.values()) % 100 == 0:
            self.most_bytes = max(self.most_bytes, self.process.memory_info().rss - self.before)


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Fuzzed]:
    """A program that is sent to; in the end it must have taken little time and memory for all of that."""
    with TemporaryDirectory(prefix="haywain-fuzz-") as path, ExitStack() as stack:
        program = stack.enter_context(Program(Path(path) / "var", HAYWAIN_QUARANTINE_PER_MINUTE="10000000"))
        found = Fuzzed(program)
        yield found
        print(dict(found.answers), f"slowest {found.slowest_s:.3f} s, {found.most_bytes // MIB} MiB more")
        assert found.most_bytes < MEMORY_BYTES and found.slowest_s < SLOWEST_S


def _check(fuzzed: Fuzzed, found: tuple[str, str, str, str, bytes, dict[str, str]], is_sound: bool) -> None:
    policy, tag, kind, encoding, body, more = found
    fuzzed.send(policy, tag, kind, encoding, ENCODINGS[encoding](body) if is_sound else body, more)


requests = st.tuples(
    st.sampled_from(POLICIES),
    tags,
    st.sampled_from(TYPES),
    st.sampled_from(["", "", "", *ENCODINGS]),
    bodies,
    headers,
)
slow = settings(suppress_health_check=list(HealthCheck), deadline=None)


@given(requests, st.booleans())
@settings(slow, max_examples=150)
def test_a_few_strange_bodies(fuzzed: Fuzzed, found: tuple, is_sound: bool) -> None:
    _check(fuzzed, found, is_sound)


@pytest.mark.campaign
@pytest.mark.timeout(7200)
@given(requests, st.booleans())
@slow
def test_many_strange_bodies(fuzzed: Fuzzed, found: tuple, is_sound: bool) -> None:
    _check(fuzzed, found, is_sound)
