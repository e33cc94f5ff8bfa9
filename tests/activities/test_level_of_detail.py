"""The level of detail is brought up to date step by step, and says the same before and after."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.store.brute_force import check

from haywain.activities.level_of_detail import LevelOfDetail
from haywain.document import Document
from haywain.portal import Portal, Site
from haywain.store import block, extents

ROWS, BLOCK = 40_000, 16 * 4096
RECORD = np.dtype([("at", "<M8[ms]"), ("level", "<f4"), ("id", "S2")])
Run = Callable[..., Any]
Reading = Callable[[str], Document]


def rows(count: int, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    found = np.zeros(count, RECORD)
    found["at"] = 1_790_000_000_000 + np.arange(count) * 20
    found["level"] = np.where(random.random(count) < 0.1, np.nan, random.normal(size=count))
    return found


@pytest.fixture
def path(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """Blocks of 64 KiB: nine of them, in as many steps."""
    monkeypatch.setattr(extents, "BLOCK_SIZE", BLOCK)
    monkeypatch.setattr(block, "TAIL_SIZE", 4096)
    monkeypatch.setattr(LevelOfDetail, "step_bytes", BLOCK)

    def make(portal: Portal) -> str:
        array: Any = portal.new("Data Array")  # Any: one kind of document
        array.create((0,), RECORD)
        array.append(rows(ROWS))
        return str(array.path)

    return site.transact(make)[0]


def ask(array: Any, width: int = 7) -> None:
    found = array.level_of_detail(width=width)
    assert list(found.columns) == ["at", "level"]
    for name, summary in found.columns.items():
        check(summary, array[:][name], found.edges)


def is_up_to_date(array: Any) -> bool:
    return array._pyramid.stale(array._array, 0, len(array)) == []


def test_steps_make_one_whole(run: Run, path: str, reading: Reading) -> None:
    ask(reading(path))
    found = run(path, "level_of_detail")["rows"]
    assert ROWS - 256 <= found <= ROWS + 10 * 256
    assert is_up_to_date(reading(path))
    ask(reading(path))
    assert run(path, "level_of_detail") == {"rows": 0}


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_kill_between_any_two_steps_costs_one_step(
    run: Run, path: str, reading: Reading, steps: int
) -> None:
    run(path, "level_of_detail", kill_after=steps)
    assert is_up_to_date(reading(path))
    ask(reading(path))


def test_what_comes_costs_only_what_is_new(run: Run, site: Site, path: str, reading: Reading) -> None:
    run(path, "level_of_detail")
    for change, most in [
        (lambda array: array.append(rows(1000, 1)), 1000 + 2 * 256 + 4096 // 14),
        (lambda array: array.append(rows(50, 2)), 256),
        (lambda array: array.__setitem__(slice(20_000, 20_003), rows(3, 3)), 2 * 4096 // 14 + 2 * 256),
    ]:
        site.transact(lambda portal, change=change: change(portal[path]))
        ask(reading(path))
        found = run(path, "level_of_detail")["rows"]
        assert found <= most
        ask(reading(path))
    assert is_up_to_date(reading(path))


def test_rows_that_come_while_it_runs_are_left_to_the_next(site: Site, path: str) -> None:
    with site.open() as portal:
        array: Any = portal[path]
        step = array.update_level_of_detail(0, 1)
        assert step.next == BLOCK
        portal.commit()
        end = array.nbytes
        site.transact(lambda other: other[path].append(rows(30_000, 4)))  # type: ignore[attr-defined]
        portal.abort()
        following = step.next
        while following is not None and following < end:
            following = array.update_level_of_detail(following, 1).next
            portal.commit()
        assert following is not None and not is_up_to_date(array)
        ask(array)


@pytest.mark.parametrize("shape", [(0,), (1000, 2, 2)], ids=str)
def test_without_rows_or_columns_of_numbers_there_is_nothing_to_do(
    run: Run, site: Site, shape: tuple[int, ...]
) -> None:
    def make(portal: Portal) -> str:
        array: Any = portal.new("Data Array")
        array.create(shape, "<f4")
        return str(array.path)

    assert run(site.transact(make)[0], "level_of_detail") == {"rows": 0}


def test_an_array_made_anew_has_none_of_the_old_peaks(run: Run, site: Site, path: str) -> None:
    run(path, "level_of_detail")
    with site.open() as portal:
        array: Any = portal[path]
        array.create((ROWS,), "<f4")
        assert array.level_of_detail(width=3).columns["0"].max.tolist() == [0, 0, 0]
        portal.commit()
        run(path, "level_of_detail")
        portal.abort()
        assert array.level_of_detail(width=3).columns["0"].max.tolist() == [0, 0, 0]


def test_a_damaged_pyramid_is_made_anew_by_starting_over(
    run: Run, site: Site, path: str, reading: Reading
) -> None:
    run(path, "level_of_detail")

    def damage(portal: Portal) -> None:
        array: Any = portal[path]
        for level in array._pyramid.levels:
            level.view()["level"]["max"] = 77

    site.transact(damage)
    array: Any = reading(path)
    assert array.level_of_detail(width=3).columns["level"].max[0] == 77
    assert run(path, "level_of_detail") == {"rows": 0}
    assert run(path, "level_of_detail", kill_after=3, start_over=True)["rows"] >= ROWS - 256
    ask(reading(path))
    assert is_up_to_date(reading(path))
