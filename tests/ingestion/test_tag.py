"""Tags: which are names of streams, and how bad ones are shown."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.errors import InvalidError
from haywain.ingestion.tag import parse_tag, printable_tag
from haywain.portal_types.data_stream import DataStream


@pytest.mark.parametrize(
    "tag",
    ["a", "turbine-7.vibration", "ж.中文", "a b", " a", "a.", ".a", "...", "%2e", "x" * 255, "data:a,b"],
)
def test_good_tag_is_kept(tag: str) -> None:
    assert parse_tag(tag.encode()) == tag
    assert DataStream(reference=tag, title=tag).reference == tag


def test_tag_is_composed() -> None:
    assert parse_tag("e\u0301".encode()) == "\u00e9"
    assert len(parse_tag(("e\u0301" * 255).encode())) == 255


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"",
        b" ",
        b".",
        b"..",
        b"../x",
        b"a/b",
        b"/",
        b"_x",
        b"__class__",
        b"a\0b",
        b"a\nb",
        b"\x7f",
        b"\xff",
        b"\xed\xa0\x80",
        b"x" * 256,
        b"x" * 65_536,
        "a\u2028b".encode(),
        "\x85".encode(),
    ],
    ids=range(19),
)
def test_bad_tag_is_refused(raw: bytes | None) -> None:
    with pytest.raises(InvalidError, match="tag"):
        parse_tag(raw)


@given(st.binary(max_size=300))
def test_any_bytes_can_be_shown_and_kept(raw: bytes) -> None:
    text = printable_tag(raw)
    assert (
        text.encode() and not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)
        if raw
        else text == ""
    )
    DataStream(reference=text[:255])


def test_long_tag_is_shown_in_part() -> None:
    assert len(printable_tag(b"x" * 1_000_000)) == 65_536
