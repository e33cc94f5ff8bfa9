"""Arrays against ndarrays, in two connections: writes, views, commits, aborts and conflicts in any order."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.elsewhere import VIEWS, use
from tests.storages import Storage
from tests.store.array_machine import ArrayMachine

from haywain.store import address_space, block, extents

PAGE = extents.PAGE


class LargePages(ArrayMachine):
    row = (112,)


class Copies(ArrayMachine):
    """As where there are no views: what is read are copies, and what is written is assigned."""

    are_copies = True


def shrink(patch: pytest.MonkeyPatch, page: int = PAGE) -> None:
    """Make everything small enough for all boundaries to be met."""
    patch.setattr(address_space, "PAGE", page)
    patch.setattr(extents, "BLOCK_SIZE", 4 * page)
    patch.setattr(extents, "JOIN_GAP", 2 * PAGE)
    patch.setattr(extents, "most_extents", lambda size: 3)
    patch.setattr(block, "TAIL_SIZE", 3 * PAGE)
    patch.setattr(block, "TAIL_RECORDS", 4)


@pytest.fixture(params=[*VIEWS, *["large-pages"][: len(VIEWS)], "none"])
def machine(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    unsynced: None,
    storage: Storage,
) -> Iterator[type[ArrayMachine]]:
    """A machine, with one of the ways to find what was written, with pages of 64 KiB, or without views."""
    gc.collect()  # what other tests left
    used = address_space.BUDGET.used
    if request.param == "large-pages":
        shrink(monkeypatch, 16 * PAGE)
        yield type("Machine", (LargePages,), {"storages": storage})
    else:
        use(request.param, monkeypatch)
        shrink(monkeypatch)
        kind = Copies if request.param == "none" else ArrayMachine
        yield type("Machine", (kind,), {"storages": storage})
    caplog.get_records("call").clear()  # the tracebacks of errors that were met and logged hold views
    gc.collect()
    assert address_space.BUDGET.used == used


def run(machine: type[ArrayMachine], examples: int | None, steps: int) -> None:
    options = {} if examples is None else {"max_examples": examples}
    run_state_machine_as_test(
        machine,
        settings=settings(stateful_step_count=steps, suppress_health_check=list(HealthCheck), **options),
    )


def test_an_array_is_an_ndarray_with_transactions(machine: type[ArrayMachine]) -> None:
    run(machine, 8, 40)


@pytest.mark.storages("zeo-shared", "zeo-private", "no-blobs", each_run=True)
def test_an_array_is_an_ndarray_on_every_storage(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, unsynced: None
) -> None:
    shrink(monkeypatch)
    run(type("Machine", (ArrayMachine,), {"storages": storage}), 3, 40)


@pytest.mark.campaign
@pytest.mark.timeout(7200)
@pytest.mark.storages()
def test_an_array_is_an_ndarray_for_long(machine: type[ArrayMachine]) -> None:
    run(machine, None, 60)
