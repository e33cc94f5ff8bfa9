"""Learning out of core: which estimators there are, how rows are cut and held out, and scores.

All of it is plain arithmetic on rows in memory; scikit-learn is imported where an estimator is made.
"""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haywain.errors import InvalidError, UnknownNameError

OUT_OF_CORE = {
    "sgd_classifier": ("sklearn.linear_model", "SGDClassifier"),
    "sgd_regressor": ("sklearn.linear_model", "SGDRegressor"),
    "perceptron": ("sklearn.linear_model", "Perceptron"),
    "gaussian_nb": ("sklearn.naive_bayes", "GaussianNB"),
    "minibatch_kmeans": ("sklearn.cluster", "MiniBatchKMeans"),
    "incremental_pca": ("sklearn.decomposition", "IncrementalPCA"),
    "standard_scaler": ("sklearn.preprocessing", "StandardScaler"),
}
"""Those that learn from one chunk of rows after the other (`partial_fit`)."""
IN_MEMORY = {
    "logistic_regression": ("sklearn.linear_model", "LogisticRegression"),
    "ridge": ("sklearn.linear_model", "Ridge"),
    "random_forest_classifier": ("sklearn.ensemble", "RandomForestClassifier"),
    "random_forest_regressor": ("sklearn.ensemble", "RandomForestRegressor"),
}
"""Those that need all rows at once."""

CLASSES_MAX = 1000

Estimator = Any
"""One of scikit-learn, which has no types."""
Rows = NDArray[Any]
"""Numbers of whatever dtype."""


def make(name: str, parameters: dict[str, Any], random_state: int) -> Estimator:
    """Return an estimator that has learnt nothing; raises UnknownNameError for an unknown parameter."""
    module, cls = (OUT_OF_CORE | IN_MEMORY)[name]
    try:
        made = getattr(importlib.import_module(module), cls)()
    except ImportError as error:
        raise InvalidError("This needs scikit-learn: install haywain with the extra science") from error
    known = made.get_params()
    for parameter in parameters:
        if parameter not in known:
            raise UnknownNameError(f"parameter of {cls}", parameter, known)
    seeded = {"random_state": random_state} if "random_state" in known else {}
    return made.set_params(**(seeded | parameters))


def kind_of(estimator: Estimator) -> str:
    """Return classifier, regressor, clusterer, or transformer for all others."""
    return str(estimator.__sklearn_tags__().estimator_type or "transformer")


def takes_nan(estimator: Estimator) -> bool:
    """Return whether an estimator knows what to do where there is no number."""
    return bool(estimator.__sklearn_tags__().input_tags.allow_nan)


def chunks_of(rows: int, step: int) -> list[tuple[int, int]]:
    """Return where the chunks of so many rows begin and end; a rest of less than half goes with the last.

    An estimator may refuse a chunk of fewer rows than it has components.

    >>> chunks_of(10, 4), chunks_of(9, 4), chunks_of(3, 4), chunks_of(0, 4)
    ([(0, 4), (4, 8), (8, 10)], [(0, 4), (4, 9)], [(0, 3)], [])
    """
    starts = list(range(0, rows, step))
    if len(starts) > 1 and 2 * (rows - starts[-1]) < step:
        starts.pop()
    return list(zip(starts, [*starts[1:], rows], strict=True)) if rows else []


def held_out(start: int, stop: int, share: float) -> NDArray[np.bool_]:
    """Return which of the rows [start, stop) are kept for the test: by their numbers alone, spread evenly.

    A row is if the fractional part of its number times the golden ratio is below the share (Weyl's sequence).

    >>> held_out(0, 8, 0.25).tolist(), held_out(4, 8, 0.25).tolist()
    ([True, False, True, False, False, True, False, False], [False, True, False, False])
    """
    hashed = np.arange(start, stop, dtype=np.uint64) * np.uint64(2_654_435_769) & np.uint64(0xFFFF_FFFF)
    found: NDArray[np.bool_] = hashed < np.uint64(round(share * 2**32))
    return found


def classes_with(known: Rows, target: Rows) -> Rows:
    """Return the classes that are known and those of more rows, sorted; raises InvalidError for too many."""
    found = np.unique(np.concatenate([known.astype(target.dtype), target]))
    if len(found) > CLASSES_MAX:
        raise InvalidError(
            f"The target has more than {CLASSES_MAX} values: take an estimator for numbers, not classes"
        )
    return found


def predicted(estimator: Estimator, rows: Rows, method: str) -> Rows:
    """Return what an estimator makes of rows, one row for each: by a method of its."""
    return np.ascontiguousarray(getattr(estimator, method)(rows))


def scores_of_nothing() -> NDArray[np.float64]:
    """Return the sums of no rows: count; hits, or squares and amounts of residuals, mean and spread."""
    return np.zeros(5)


def scored(
    sums: NDArray[np.float64], kind: str, estimator: Estimator, rows: Rows, y: Rows | None
) -> NDArray[np.float64]:
    """Return the sums with more rows, not used to learn from; see `scores`."""
    if not len(rows):
        return sums
    hits = 0.0
    if y is None:
        hits = -estimator.score(rows) if kind == "clusterer" else 0.0
    elif kind == "classifier":
        hits = float(np.count_nonzero(estimator.predict(rows) == y))
    if y is None or kind == "classifier":
        return np.add(sums, [len(rows), hits, 0, 0, 0])
    count, squares, amounts, mean, spread = sums
    residuals, total = y - estimator.predict(rows), count + len(rows)
    apart = y.mean() - mean  # Chan, Golub and LeVeque, The American Statistician 37 (1983) 242-247
    spread += ((y - y.mean()) ** 2).sum() + apart**2 * count * len(rows) / total
    mean += apart * len(rows) / total
    return np.array([total, squares + (residuals**2).sum(), amounts + np.abs(residuals).sum(), mean, spread])


def scores(sums: NDArray[np.float64], kind: str) -> dict[str, float]:
    """Return the scores that the sums come to: accuracy; r2 and mean errors; inertia; empty for no rows."""
    count, first, amounts, _, spread = map(float, sums)
    if not count or kind == "transformer":
        return {}
    if kind == "classifier":
        return {"accuracy": first / count}
    if kind == "clusterer":
        return {"inertia": first}
    errors = {"mean_squared_error": first / count, "mean_absolute_error": amounts / count}
    return ({"r2": 1 - first / spread} if spread else {}) | errors
