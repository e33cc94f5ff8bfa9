"""What `train` makes is what scikit-learn makes of the same chunks, whatever kills it."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from haywain.activities import train
from haywain.activities.train import Train
from haywain.analysis.learning import chunks_of, held_out
from haywain.errors import InvalidError, UnknownNameError
from haywain.portal import Portal, Site

Store = Callable[..., str]
Run = Callable[..., Any]
RNG = np.random.default_rng(4)
TABLE = RNG.normal([0, 5, -3, 0], [1, 2, 9, 1], (5000, 4))
TABLE[:, 3] = TABLE[:, 0] * 2 - TABLE[:, 1] + RNG.normal(size=5000)
KINDS = np.where(TABLE[:, 0] > 0.5, 7, np.where(TABLE[:, 1] > 5, 3, 5))
CHUNK = 700
CHUNKS = chunks_of(5000, CHUNK)
NAMES = ("a", "b", "c", "y")


@pytest.fixture
def store(site: Site) -> Store:
    def store(rows: np.ndarray, *names: str) -> str:
        def work(portal: Portal) -> str:
            array = portal.new(
                "Data Array", reference="rows", columns=tuple({"name": name} for name in names)
            )
            array.create((0, *rows.shape[1:]), rows.dtype)  # type: ignore[attr-defined]
            array.append(rows)  # type: ignore[attr-defined]
            return str(array.path)

        return site.transact(work)[0]

    return store


@pytest.fixture
def trained(
    site: Site, store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, Any]]:
    """Train on rows in chunks of `CHUNK`; return the result and the Model's estimator."""

    def trained(rows: np.ndarray, *names: str, **given: Any) -> tuple[Any, Any]:
        monkeypatch.setattr(Train, "step_bytes", CHUNK * rows.itemsize * int(np.prod(rows.shape[1:])))
        found = run(store(rows, *names), "train", **given)
        with site.open() as portal:
            return found, portal[found["model"]].load()  # type: ignore[attr-defined]

    return trained


def labelled() -> np.ndarray:
    rows = np.empty(5000, [("a", "<f8"), ("b", "<f8"), ("kind", "<i4"), ("at", "M8[s]")])
    rows["a"], rows["b"], rows["kind"] = TABLE[:, 0], TABLE[:, 1], KINDS
    return rows


@pytest.mark.parametrize("kill_after", [0, 1, 3], ids=str)
def test_classifier_is_that_of_partial_fit(trained: Any, kill_after: int) -> None:
    found, model = trained(
        labelled(), estimator="sgd_classifier", target="kind", epochs=2, random_state=3, kill_after=kill_after
    )
    expected = SGDClassifier(random_state=3)
    for _ in range(2):
        for start, stop in CHUNKS:
            expected.partial_fit(TABLE[start:stop, :2], KINDS[start:stop], classes=[3, 5, 7])
    assert np.array_equal(model.coef_, expected.coef_) and np.array_equal(model.classes_, [3, 5, 7])
    assert (found["rows"], found["scores"]) == (5000, {})


@pytest.mark.parametrize("kill_after", [0, 2], ids=str)
@pytest.mark.parametrize(
    ("name", "expected", "attributes"),
    [
        ("minibatch_kmeans", MiniBatchKMeans(3, random_state=0), ("cluster_centers_", "_counts")),
        ("incremental_pca", IncrementalPCA(2), ("components_", "mean_", "singular_values_")),
        ("standard_scaler", StandardScaler(), ("mean_", "scale_")),
    ],
    ids=["minibatch_kmeans", "incremental_pca", "standard_scaler"],
)
def test_estimator_without_a_target_is_that_of_partial_fit(
    trained: Any, name: str, expected: Any, attributes: tuple[str, ...], kill_after: int
) -> None:
    given = {"minibatch_kmeans": {"n_clusters": 3}, "incremental_pca": {"n_components": 2}}.get(name, {})
    _, model = trained(TABLE, *NAMES, estimator=name, estimator_parameters=given, kill_after=kill_after)
    expected = type(expected)(**expected.get_params())
    for start, stop in CHUNKS:
        expected.partial_fit(TABLE[start:stop])
    for attribute in attributes:
        assert np.array_equal(getattr(model, attribute), getattr(expected, attribute)), attribute


@pytest.mark.parametrize("kill_after", [0, 5], ids=str)
def test_scaled_regressor_with_rows_held_out(trained: Any, kill_after: int) -> None:
    found, model = trained(
        TABLE,
        *NAMES,
        estimator="sgd_regressor",
        target="y",
        scale=True,
        test_share=0.25,
        kill_after=kill_after,
    )
    test = held_out(0, 5000, 0.25)
    assert abs(test.mean() - 0.25) < 0.001
    scaler, expected = StandardScaler(), SGDRegressor(random_state=0)
    parts = [TABLE[start:stop][~test[start:stop]] for start, stop in CHUNKS]
    for part in parts:
        scaler.partial_fit(part[:, :3])
    for part in parts:
        expected.partial_fit(scaler.transform(part[:, :3]), part[:, 3])
    y = expected.predict(scaler.transform(TABLE[test][:, :3]))
    assert np.array_equal(model.predict(TABLE[test][:, :3]), y)
    truth = TABLE[test][:, 3]
    assert found["scores"]["r2"] == pytest.approx(r2_score(truth, y), rel=1e-12)
    assert found["scores"]["mean_squared_error"] == pytest.approx(mean_squared_error(truth, y), rel=1e-12)
    assert found["scores"]["mean_absolute_error"] == pytest.approx(mean_absolute_error(truth, y), rel=1e-12)


def test_accuracy_is_of_the_rows_held_out(trained: Any) -> None:
    found, model = trained(labelled(), estimator="gaussian_nb", target="kind", test_share=0.3)
    test = held_out(0, 5000, 0.3)
    expected = GaussianNB().fit(TABLE[~test][:, :2], KINDS[~test])
    assert np.allclose(model.theta_, expected.theta_)
    assert found["scores"]["accuracy"] == model.score(TABLE[test][:, :2], KINDS[test])


def test_estimator_in_memory_is_that_of_fit(trained: Any) -> None:
    given = {"n_estimators": 5, "max_depth": 3}
    found, model = trained(
        TABLE, *NAMES, estimator="random_forest_regressor", target="3", features=["a", "c"],
        estimator_parameters=given, random_state=9, test_share=0.2,
    )  # fmt: skip
    test = held_out(0, 5000, 0.2)
    expected = RandomForestRegressor(**given, random_state=9).fit(TABLE[~test][:, [0, 2]], TABLE[~test][:, 3])
    assert np.array_equal(model.predict(TABLE[:, [0, 2]]), expected.predict(TABLE[:, [0, 2]]))
    assert found["scores"]["r2"] == pytest.approx(expected.score(TABLE[test][:, [0, 2]], TABLE[test][:, 3]))


def test_model_tells_what_it_was_trained_on(site: Site, store: Store, run: Run) -> None:
    path = store(TABLE, *NAMES)
    first, second = (
        run(path, "train", estimator="sgd_regressor", target="y", test_share=0.5, estimator_parameters=given)
        for given in ({}, {"alpha": 0.5})
    )
    assert first["model"] == second["model"]  # replaced
    with site.open() as portal:
        model: Any = portal[second["model"]]
        told = model.provenance
        assert model.linked("source") == [path] and told["activity"] == "the activity"
        assert (told["estimator"], told["features"], told["target"]) == ("SGDRegressor", ["a", "b", "c"], "y")
        assert told["parameters"]["alpha"] == 0.5 and told["scores"] == second["scores"]
        array: Any = portal[path]
        source = {"path": path, "edition": array.edition, "tid": array.rows_tid, "rows": 5000}
        assert told["sources"] == [source]
        assert json.loads(json.dumps(model.as_dict()))["provenance"] == told


def broken(row: int, column: int, value: float) -> np.ndarray:
    rows = TABLE.copy()
    rows[row, column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "given", "message"),
    [
        (TABLE, {}, "target: sgd_classifier learns to predict a column"),
        (TABLE, {"estimator": "minibatch_kmeans", "target": "y"}, "predicts no column"),
        (TABLE, {"target": "z"}, "There is no column of numbers 'z'"),
        (TABLE, {"target": "y", "features": ("a", "q")}, "There is no column of numbers 'q'"),
        (TABLE, {"target": "y", "features": ("a", "y")}, "'y' is the target"),
        (TABLE, {"target": "y"}, "more than 1000 values"),
        (TABLE, {"target": "y", "estimator_parameters": "{"}, "this is no JSON"),
        (TABLE, {"target": "y", "estimator_parameters": {"alhpa": 1}}, "did you mean alpha"),
        (broken(4321, 2, np.nan), {"estimator": "minibatch_kmeans"}, "Row 4321 has nan in column 'c'"),
        (broken(17, 0, np.inf), {"estimator": "standard_scaler"}, "Row 17 has inf in column 'a'"),
        (broken(7, 3, np.nan), {"estimator": "sgd_regressor", "target": "y"}, "Row 7 has nan in column 'y'"),
        (TABLE[:0], {"estimator": "standard_scaler"}, "has no rows"),
    ],
    ids=[
        "no target", "target of a clusterer", "unknown target", "unknown feature", "target as feature",
        "numbers as classes", "no JSON", "unknown parameter", "NaN", "inf", "NaN in the target", "no rows",
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_told(
    trained: Any, rows: np.ndarray, given: dict[str, Any], message: str
) -> None:
    with pytest.raises((InvalidError, UnknownNameError), match=message):
        trained(rows, *NAMES, **given)


def test_value_that_an_estimator_refuses_is_told(trained: Any) -> None:
    with pytest.raises(ValueError, match="alpha"):
        trained(TABLE, *NAMES, estimator="sgd_regressor", target="y", estimator_parameters={"alpha": -1})


def test_estimator_that_takes_nan_gets_it(trained: Any) -> None:
    rows = broken(3, 0, np.nan)
    _, model = trained(rows, *NAMES, estimator="standard_scaler")
    assert np.allclose(model.mean_, np.nanmean(rows, axis=0))


def test_too_many_rows_for_memory_are_told(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "IN_MEMORY_BYTES", 100)
    with pytest.raises(InvalidError, match="needs all rows in memory, 120000 bytes"):
        trained(TABLE, *NAMES, estimator="ridge", target="y")
