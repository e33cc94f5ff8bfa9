"""A Model keeps an estimator that comes back as it was, and loads nothing that could be code."""

import json
import os
import shutil
from typing import Any

import numpy as np
import pytest
import scipy.io
import skops.io
from sklearn.datasets import fetch_openml
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from haywain.analysis import skops_file
from haywain.errors import InvalidError
from haywain.portal import Portal

ROWS = np.random.default_rng(1).normal(size=(100, 3))
LABELS = (ROWS[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), SVC(C=2)),
        RandomForestClassifier(5, random_state=0),
        HistGradientBoostingRegressor(max_iter=3),
    ],
    ids=["pipeline", "forest", "boosting"],
)
def test_estimator_comes_back_as_it_was(portal: Portal, estimator: Any) -> None:
    model: Any = portal.new("Model", reference="m")
    source: Any = portal.new("Data Array", reference="rows")
    model.save(estimator.fit(ROWS, LABELS), source=source, features=["a", "b", "c"], target="k")
    assert np.array_equal(model.load().predict(ROWS), estimator.predict(ROWS))
    assert model.linked("source") == [source.path] and model.features == ("a", "b", "c")
    json.dumps(model.as_dict(), allow_nan=False)
    assert model.size == len(model.read()) and model.filename == "m.skops"


def test_saved_again_it_names_its_new_source_only(portal: Portal) -> None:
    model: Any = portal.new("Model")
    one, other = (portal.new("Data Array", reference=name) for name in ("one", "other"))
    for source in (one, [other]):
        model.save(StandardScaler().fit(ROWS), source=source)
    assert model.linked("source") == [other.path]


def test_what_could_not_be_loaded_is_not_saved(portal: Portal) -> None:
    model: Any = portal.new("Model")
    with pytest.raises(InvalidError, match=r"types that are not loaded: .*system"):
        model.save(FunctionTransformer(os.system))
    assert model.size == 0
    with pytest.raises(InvalidError, match="no estimator yet"):
        model.load()


@pytest.mark.parametrize(
    "function",
    [os.system, shutil.rmtree, np.savetxt, fetch_openml, scipy.io.savemat],
    ids=["of the system", "of the standard library", "of NumPy", "of scikit-learn", "of SciPy"],
)
def test_function_in_a_file_is_refused_by_name(function: Any) -> None:
    data = skops.io.dumps(FunctionTransformer(function))
    with pytest.raises(InvalidError, match=rf"not loaded: .*{function.__name__}"):
        skops_file.load(data)


@pytest.mark.parametrize(
    "data", [b"", b"no zip at all", b"PK\x05\x06" + bytes(18)], ids=["", "text", "empty zip"]
)
def test_what_is_no_file_is_told(data: bytes) -> None:
    with pytest.raises(InvalidError, match="no skops file"):
        skops_file.load(data)
