"""Decoding: what was meant by the bytes, with bounded time and memory for whatever comes."""

import gzip
import os
import subprocess
import sys
import time
import tracemalloc
import zlib
from contextlib import suppress
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from haywain.errors import InvalidError, TooLargeError
from haywain.ingestion import decoding
from haywain.ingestion.decoding import FORM, Limits, decode_body, form_field, percent_decode
from haywain.values import MIB

LIMITS = Limits(4 * MIB)
DATA = os.urandom(300_000) + b"x" * 100_000


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "deflate ": raw_deflate,
    "zstd": zstandard.compress,
    "identity": bytes,
    "": bytes,
}
REAL = ("gzip", "deflate", "zstd")


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "byte", "much"])
def test_encoded_body_is_decoded(name: str, data: bytes) -> None:
    assert decode_body(ENCODERS[name](data), "", name, LIMITS) == data


def test_encodings_are_undone_from_the_last() -> None:
    body = zstandard.compress(gzip.compress(DATA))
    assert decode_body(body, "", "gzip, zstd", LIMITS) == DATA
    with pytest.raises(InvalidError):
        decode_body(body, "", "zstd, gzip", LIMITS)


@pytest.mark.parametrize("name", REAL)
def test_body_without_a_byte_stays_one(name: str) -> None:
    assert decode_body(b"", "", name, LIMITS) == b""


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_members_that_follow_one_another_are_one_body(name: str) -> None:
    members = [ENCODERS[name](part) for part in (b"a", b"", DATA, b"z")]
    assert decode_body(b"".join(members), "", name, LIMITS) == b"a" + DATA + b"z"


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("kept", [1, 5, 0.5, -1], ids=str)
def test_cut_body_is_refused(name: str, kept: float) -> None:
    body = ENCODERS[name](DATA)
    with pytest.raises(InvalidError):
        decode_body(body[: int(len(body) * kept) if kept == 0.5 else int(kept)], "", name, LIMITS)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_rubbish_behind_the_body_is_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        decode_body(ENCODERS[name](b"fine") + b"rubbish", "", name, LIMITS)


@pytest.mark.parametrize("name", ["br", "gzip, br", "x" * 1000, "\xff"])
def test_unknown_encoding_is_refused(name: str) -> None:
    with pytest.raises(InvalidError, match="gzip, deflate or zstd"):
        decode_body(b"", "", name, LIMITS)


@given(st.sampled_from(REAL), st.binary(max_size=200))
def test_no_rubbish_breaks_the_decoder(name: str, body: bytes) -> None:
    for whole in (body, ENCODERS[name](b"a") + body):
        with suppress(InvalidError, TooLargeError):
            decode_body(whole, "", name, LIMITS)


@pytest.mark.parametrize("name", REAL)
def test_bomb_is_refused_early_and_in_little_memory(name: str) -> None:
    body = ENCODERS[name](bytes(40 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match="times larger"):
            decode_body(body, "", name, Limits(256 * MIB))
        assert tracemalloc.get_traced_memory()[1] < 60 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", REAL)
def test_body_larger_than_the_limit_is_refused(name: str) -> None:
    with pytest.raises(TooLargeError, match="larger than"):
        decode_body(ENCODERS[name](os.urandom(5 * MIB)), "", name, LIMITS)


def test_small_body_may_become_a_mebibyte_whatever_the_ratio() -> None:
    assert len(decode_body(gzip.compress(bytes(MIB)), "", "gzip", LIMITS)) == MIB
    with pytest.raises(TooLargeError):
        decode_body(gzip.compress(bytes(MIB + 1)), "", "gzip", LIMITS)


def test_bomb_fits_where_memory_is_short() -> None:
    """In a process of its own: what zstd allocates is not traced."""
    code = (
        "import resource, sys\n"
        "from haywain.ingestion.decoding import decode_body, Limits\n"
        "from haywain.errors import TooLargeError\n"
        "body = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: decode_body(body, '', 'zstd', Limits())\n"
        "except TooLargeError: print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    body = zstandard.compress(bytes(200 * MIB))
    done = subprocess.run([sys.executable, "-c", code], input=body, capture_output=True, check=True)
    assert int(done.stdout) < 64


@pytest.mark.parametrize(
    ("name", "member"),
    [("gzip", gzip.compress(b"")), ("zstd", zstandard.compress(b""))],
    ids=["gzip", "zstd"],
)
def test_time_for_many_empty_members_grows_with_their_number_only(name: str, member: bytes) -> None:
    def seconds(count: int) -> float:
        start = time.process_time()
        assert decode_body(member * count, "", name, LIMITS) == b""
        return time.process_time() - start

    seconds(100)
    assert seconds(40_000) < 8 * 5 * max(seconds(8_000), 0.01)


def test_form_is_its_field() -> None:
    assert decode_body(b"data_chunk=%00%ff+x", FORM + "; charset=utf-8", "", LIMITS) == b"\x00\xff x"
    assert decode_body(gzip.compress(b"a=b&data_chunk=x&c=d"), FORM, "gzip", LIMITS) == b"x"
    assert decode_body(b"data_chunk=x", "application/octet-stream", "", LIMITS) == b"data_chunk=x"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data_chunk=", b""),
        (b"data_chunk=a&data_chunk=b", b"a"),
        (b"x_data_chunk=a&data_chunk=b", b"b"),
        (b"data_chunk2=a&&data_chunk=b=c&", b"b=c"),
        (b"&data_chunk=%26", b"&"),
    ],
    ids=range(5),
)
def test_field_is_found(body: bytes, expected: bytes) -> None:
    assert form_field(body) == expected


@pytest.mark.parametrize(
    "body", [b"", b"data_chunk", b"xdata_chunk=a", b"data_chun=a", b"DATA_CHUNK=a"], ids=range(5)
)
def test_form_without_the_field_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidError, match="data_chunk"):
        form_field(body)


def test_form_of_separators_is_refused_at_once() -> None:
    start = time.process_time()
    with pytest.raises(InvalidError):
        form_field(b"&" * (8 * MIB))
    assert time.process_time() - start < 0.5


@given(
    st.lists(st.sampled_from([b"%", b"4", b"1", b"f", b"F", b"g", b"+", b"%41", b"%zz", b"\xff", b"x" * 5])),
    st.integers(3, 9),
)
@example([b"%41"] * 9, 4)
@example([b"%"] * 20, 3)
def test_percent_decoding_is_that_of_urllib_at_every_step(parts: list[bytes], step: int) -> None:
    value = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_STEP", step)
        assert percent_decode(value) == unquote_to_bytes(value.replace(b"+", b" "))


@given(st.binary())
def test_percent_decoding_returns_what_was_encoded(data: bytes) -> None:
    assert percent_decode(quote_from_bytes(data, safe="").encode()) == data


def test_percent_decoding_of_much_takes_little() -> None:
    start = time.process_time()
    for body in (b"%" * (4 * MIB), b"%41" * MIB):
        percent_decode(body)
    assert time.process_time() - start < 3
