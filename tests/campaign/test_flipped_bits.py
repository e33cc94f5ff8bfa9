"""Flipped bits: each one in a payload is found, none is served as good, and none crashes a verification."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.damage import Span, flipped, make_portal, payload_spans

from haywain.app import open_site
from haywain.errors import CorruptDataError
from haywain.portal import Portal, Site
from haywain.settings import Settings
from haywain.soundness import verify

FLIPS = int(os.environ.get("HAYWAIN_FLIPS", "10000"))
COUNTS = [
    pytest.param(60, id="small"),
    pytest.param(FLIPS, marks=[pytest.mark.campaign, pytest.mark.timeout(600 + FLIPS)], id="many"),
]


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """A portal to be damaged."""
    return make_portal(tmp_path / "var")


def read_all(portal: Portal) -> list[bytes]:
    """Read what is served as good: every stream in full."""
    return [b"".join(stream.chunks()) for stream in portal.catalog(portal_type="Data Stream")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", COUNTS)
def test_each_flipped_bit_of_a_payload_is_found(
    own: Settings, report: Callable[..., None], count: int
) -> None:
    """Each in a Record or a blob, current or historic; what is in the same document is named."""
    chosen, spans = random.Random(count), payload_spans(own.data)
    kinds = [
        [span for span in spans if (span.path.suffix == ".blob") is is_blob] for is_blob in (True, False)
    ]
    for number in range(count):
        span = chosen.choice(kinds[number % 2])
        bit = chosen.randrange(span.start * 8, span.stop * 8)
        with flipped(span.path, bit):
            problems = verify(own).problems
            assert [p.kind for p in problems] == ["checksum"] and problems[0].oid, (span, bit, problems)
    assert verify(own).ok
    report(flips=count, found=count)


@pytest.mark.parametrize("count", COUNTS)
def test_no_flipped_bit_of_a_payload_is_served_as_good(
    own: Settings, report: Callable[..., None], count: int
) -> None:
    site, _ = open_site(own)
    try:
        with site.open() as portal:
            good = read_all(portal)
        chosen, spans = random.Random(count), payload_spans(own.data)
        refused = sum(_is_refused(site, good, chosen, spans) for _ in range(count))
        assert refused > count // 4  # others are historic, or of the array
        report(flips=count, refused=refused)
    finally:
        site.close()


def _is_refused(site: Site, good: list[bytes], chosen: random.Random, spans: list[Span]) -> bool:
    span = chosen.choice(spans)
    with flipped(span.path, chosen.randrange(span.start * 8, span.stop * 8)):
        site.database.cacheMinimize()
        with site.open() as portal:
            try:
                assert read_all(portal) == good
            except CorruptDataError:
                return True
    return False


@pytest.mark.parametrize("count", COUNTS)
def test_no_flipped_bit_of_the_log_crashes_a_verification(
    own: Settings, report: Callable[..., None], count: int
) -> None:
    """FileStorage has no checksums: not each bit of a pickle can be found, but it is no crash either."""
    chosen, data_fs = random.Random(count), own.data / "Data.fs"
    size, found = data_fs.stat().st_size, 0
    for _ in range(count):
        with flipped(data_fs, chosen.randrange(size * 8)):
            found += not verify(own).ok
    assert found > count // 2
    report(flips=count, found=found)
