"""Kinds that make arrays of arrays: the rows are those that NumPy and SciPy make of all at once."""

from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly

from haywain.errors import InvalidError
from haywain.portal import Portal, Site

RANDOM = np.random.default_rng(21)


def new_array(portal: Portal, rows: Any, **properties: Any) -> Any:
    array: Any = portal.new("Data Array", **properties)
    array.create((0, *rows.shape[1:]), rows.dtype)
    array.append(rows)
    return array


def made(site: Site, kind: str, rows: Any, step: int, parameters: dict[str, Any], **properties: Any) -> Any:
    """Return the array that a Job makes, with its rows."""
    with site.open() as portal:
        array = new_array(portal, rows, **properties)
        job = portal.map_reduce(kind, array, step=step, parameters=parameters)
        portal.commit()
        result = job.wait(60).result
        assert job.error is None
        found: Any = portal[result["array"]]
        assert len(found) == result["rows"]
        return found, found[:].copy()


@pytest.mark.parametrize("step", [400, 30_000, 1 << 20])
@pytest.mark.parametrize(("up", "down"), [(1, 4), (3, 1), (147, 160), (1, 1), (7, 3)])
def test_rows_are_resampled_as_by_scipy(site: Site, step: int, up: int, down: int) -> None:
    rows = RANDOM.standard_normal((5003, 2)) + 5
    given = {"rate_hz": 16_000 * up / down}
    found, new = made(site, "resample", rows, step, given, rate_hz=16_000.0, columns=({"name": "x"},))
    np.testing.assert_allclose(new, resample_poly(rows, up, down, axis=0), rtol=0, atol=1e-12)
    assert found.properties.rate_hz == pytest.approx(16_000 * up / down)
    assert [column.name for column in found.columns] == ["x"] and found.reference.endswith("resample")


def test_single_precision_stays(site: Site) -> None:
    rows = RANDOM.standard_normal(2000).astype("<f4")
    found, new = made(site, "resample", rows, 1000, {"rate_hz": 1, "from_hz": 2})
    assert found.dtype == np.float32
    np.testing.assert_allclose(new, resample_poly(rows.astype(float), 1, 2), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "rate_hz: say how many rows"),
        ({"rate_hz": 5}, "from_hz: the array does not tell"),
        ({"rate_hz": 3.14159, "from_hz": 1}, "rate_hz: 3.14159 to 1 is no ratio"),
        ({"rate_hz": 1e-9, "from_hz": 1}, "rate_hz: 1e-09 to 1 is no ratio"),
    ],
    ids=["unsaid", "untold", "irrational", "tiny"],
)
def test_rates_that_make_no_sense_are_told(site: Site, given: dict[str, Any], message: str) -> None:
    with site.open() as portal:
        array = new_array(portal, np.zeros(10))
        with pytest.raises(InvalidError, match=message):
            portal.map_reduce("resample", array, parameters=given)


def lived(board: Any, generations: int) -> Any:
    """Return the board some generations on, all at once."""
    for _ in range(generations):
        around = sum(
            np.roll(board, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)
        )
        board = ((around == 3) | ((around == 2) & (board == 1))).astype("u1")
    return board


@pytest.mark.parametrize("generations", [1, 5, 90])
@pytest.mark.parametrize("step", [50, 999, 1 << 20])
def test_board_lives_as_conway_has_it(site: Site, generations: int, step: int) -> None:
    board = RANDOM.integers(0, 2, (61, 50), "u1")
    _, new = made(site, "game_of_life", board, step, {"generations": generations})
    np.testing.assert_array_equal(new, lived(board, generations))


def test_what_is_no_board_is_told(site: Site) -> None:
    with site.open() as portal:
        for rows in (np.zeros(9), np.zeros((3, 3))):
            with pytest.raises(InvalidError, match=r"^A board"):
                portal.map_reduce("game_of_life", new_array(portal, rows))
