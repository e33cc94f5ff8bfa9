"""A Pyramid says what the rows are, whatever was done to them, and however far behind it is."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.store.pyramid_machine import PyramidMachine

from haywain.store import block, extents, pagemap, pyramid, summary


@pytest.fixture
def small(finding: str, monkeypatch: pytest.MonkeyPatch, unsynced: None) -> None:
    """Blocks of four pages, buckets of four rows, pairs of which are one; with and without views."""
    monkeypatch.setattr(extents, "BLOCK_SIZE", 4 * extents.PAGE)
    monkeypatch.setattr(extents, "JOIN_GAP", 2 * extents.PAGE)
    monkeypatch.setattr(extents, "most_extents", lambda size: 3)
    monkeypatch.setattr(block, "TAIL_SIZE", 3 * extents.PAGE)
    monkeypatch.setattr(pyramid, "BUCKET", 4)
    monkeypatch.setattr(pyramid, "FANOUT", 2)
    monkeypatch.setattr(pyramid, "PIECE_SIZE", 2000)
    monkeypatch.setattr(summary, "PIECE_SIZE", 700)


class WithoutViews(PyramidMachine):
    write_to_view: Any = None


def run(examples: int | None, steps: int) -> None:
    options = {} if examples is None else {"max_examples": examples}
    run_state_machine_as_test(
        WithoutViews if pagemap.METHOD == "none" else PyramidMachine,
        settings=settings(stateful_step_count=steps, suppress_health_check=list(HealthCheck), **options),
    )


def test_a_pyramid_never_shows_what_was(small: None) -> None:
    run(12, 40)


@pytest.mark.campaign
@pytest.mark.timeout(7200)
def test_a_pyramid_never_shows_what_was_for_long(small: None) -> None:
    run(None, 60)
