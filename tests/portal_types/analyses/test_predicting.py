"""What a Model says of rows as they come in: of stored ones, and of those that are handed on in memory."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import IncrementalPCA
from tests.portal_types.analyses.conftest import ANN, analyses, make_transformation

from haywain.portal import Portal, Site

Send = Callable[..., None]
ROWS = np.random.default_rng(8).normal(size=(300, 3))
ONE, OTHER = IncrementalPCA(2).fit(ROWS), IncrementalPCA(2).fit(ROWS[:50])


@pytest.mark.parametrize("use", ["analysis", "transient"])
def test_new_rows_are_predicted_and_all_after_another_training(site: Site, send: Send, use: str) -> None:
    def prepare(portal: Portal) -> str:
        array: Any = portal.new("Data Array", reference="of the training")
        array.create((0, 3), "<f8")
        array.append(ROWS)
        model: Any = portal.new("Model", reference="pca")
        model.save(ONE, source=array)
        reading = json.dumps({"format": "raw", "dtype": "<f8", "row_shape": "3"})
        make_transformation(portal, ("stream_to_array", reading), ("vibration",), "rows", use=use)
        make_transformation(portal, ("predict", json.dumps({"model": model.path})), ("rows",), "points")
        return str(model.path)

    model = site.transact(prepare, ANN)[0]

    def predicted() -> np.ndarray:
        with site.open() as portal:
            made: Any = analyses(portal)[1].outputs()[0]
            assert made.linked("model") == [model]
            return np.array(made[:])

    send(*ROWS[:100].ravel())
    send(*ROWS[100:120].ravel())
    assert np.allclose(predicted(), ONE.transform(ROWS[:120]))
    retrained: Any = site.transact(lambda p: p[model].save(OTHER))  # type: ignore[attr-defined]
    assert retrained
    send(*ROWS[120:].ravel())
    assert np.allclose(predicted(), OTHER.transform(ROWS))
