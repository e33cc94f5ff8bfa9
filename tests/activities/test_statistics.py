"""Statistics of an array are those of numpy, whatever the steps."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from haywain.activities.statistics import Statistics
from haywain.errors import InvalidError
from haywain.portal import Portal, Site

Store = Callable[..., str]
Run = Callable[..., Any]
VALUES = np.random.default_rng(11).normal([0, 100], [1, 20], (5000, 2))


@pytest.fixture
def store(site: Site) -> Store:
    def store(rows: np.ndarray, *names: str) -> str:
        def work(portal: Portal) -> str:
            array = portal.new("Data Array", columns=tuple({"name": name} for name in names))
            array.create((0, *rows.shape[1:]), rows.dtype)
            array.append(rows)
            return str(array.path)

        return site.transact(work)[0]

    return store


@pytest.mark.parametrize(
    ("step_bytes", "kill_after"), [(1000, 0), (1000, 1), (1000, 7), (1 << 20, 0)], ids=str
)
def test_statistics_are_those_of_numpy_however_often_it_was_killed(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch, step_bytes: int, kill_after: int
) -> None:
    monkeypatch.setattr(Statistics, "step_bytes", step_bytes)
    monkeypatch.setattr(Statistics, "state_times", 0)
    found = run(store(VALUES, "a", "b"), "statistics", kill_after=kill_after)
    assert found["rows"] == 5000 and json.dumps(found, allow_nan=False)
    for column, values in zip(found["columns"], VALUES.T, strict=True):
        assert column["count"] == 5000
        assert column["mean"] == pytest.approx(values.mean(), rel=1e-10)
        assert column["variance"] == pytest.approx(values.var(), rel=1e-10)
        assert (column["min"], column["max"]) == (values.min(), values.max())
        counts, edges = np.histogram(values, 64)
        assert column["histogram"]["counts"] == counts.tolist()
        assert np.allclose(column["histogram"]["edges"], edges)
        for quantile, value in column["quantiles"].items():
            near = (
                np.quantile(values, float(quantile), method="lower"),
                np.quantile(values, float(quantile), method="higher"),
            )
            bin_width = (values.max() - values.min()) / 32_768
            assert near[0] - bin_width <= value <= near[1] + bin_width
    assert [column["name"] for column in found["columns"]] == ["a", "b"]


def test_structured_rows_and_times(run: Run, store: Store) -> None:
    times = np.array(["1970-01-01T00:00:01", "NaT", "1970-01-01T00:00:03"], "M8[ms]")
    rows = np.empty(3, [("when", "M8[ms]"), ("n", "<i2")])
    rows["when"], rows["n"] = times, [1, 2, 6]
    when, n = run(store(rows), "statistics")["columns"]
    assert (when["mean"], when["nan_count"], when["min"], when["max"]) == (2, 1, 1, 3)
    assert (n["name"], n["mean"], n["quantiles"]["0.5"]) == ("n", 3, pytest.approx(2, abs=1e-3))


def test_row_without_columns_is_one(run: Run, store: Store) -> None:
    assert run(store(np.arange(5)), "statistics")["columns"][0]["mean"] == 2


def test_no_rows_have_no_mean(run: Run, store: Store) -> None:
    assert run(store(VALUES[:0]), "statistics")["columns"][0]["mean"] is None
    assert run(store(np.zeros((5, 0))), "statistics") == {"rows": 5, "columns": []}


@pytest.mark.parametrize(
    ("rows", "parameters", "message"),
    [
        (np.zeros(3, "c8"), {}, "rows are of complex64"),
        (np.zeros(3, "S4"), {}, "rows are of"),
        (np.zeros((3, 65)), {}, "at most 64 columns; a row has 65"),
        (np.zeros((3, 10)), {"bins": 4096}, "bins: 10 columns with 4096 each"),
    ],
    ids=["complex", "bytes", "wide", "bins"],
)
def test_what_has_no_statistics_is_told(
    run: Run, store: Store, rows: np.ndarray, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        run(store(rows), "statistics", **parameters)


def test_array_that_is_not_created_is_told(run: Run, site: Site) -> None:
    path = site.transact(lambda portal: str(portal.new("Data Array").path))[0]
    with pytest.raises(InvalidError, match="has no rows yet"):
        run(path, "statistics")
