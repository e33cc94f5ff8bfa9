"""What `predict` writes is what scikit-learn says of the whole array at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import IncrementalPCA
from sklearn.linear_model import SGDClassifier

from haywain.activities.predict import Predict
from haywain.errors import InvalidError
from haywain.portal import Portal, Site

Run = Callable[..., Any]
RNG = np.random.default_rng(8)
TABLE = RNG.normal(size=(3000, 3))
LABELS = (TABLE[:, 0] > TABLE[:, 2]).astype(int)
CLASSIFIER = SGDClassifier(loss="log_loss", random_state=0).fit(TABLE, LABELS)
PCA = IncrementalPCA(2).fit(TABLE)


@pytest.fixture
def paths(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """Make an array and a Model of an estimator; predict in steps of 500 rows."""
    monkeypatch.setattr(Predict, "step_bytes", 500 * 24)

    def paths(estimator: Any, rows: np.ndarray = TABLE, **told: Any) -> tuple[str, str]:
        def work(portal: Portal) -> tuple[str, str]:
            array: Any = portal.new(
                "Data Array", reference="rows", columns=[{"name": name} for name in "abc"]
            )
            array.create((0, 3), rows.dtype)
            array.append(rows)
            model: Any = portal.new("Model", reference="by hand")
            model.save(estimator, source=array, **told)
            return str(array.path), str(model.path)

        return site.transact(work)[0]

    return paths


@pytest.mark.parametrize("kill_after", [0, 1, 4], ids=str)
@pytest.mark.parametrize(
    ("estimator", "output", "method", "names"),
    [
        (CLASSIFIER, "auto", "predict", ["kind"]),
        (CLASSIFIER, "predict_proba", "predict_proba", ["p(0)", "p(1)"]),
        (PCA, "auto", "transform", ["incrementalpca0", "incrementalpca1"]),
    ],
    ids=["predict", "predict_proba", "transform"],
)
def test_rows_are_those_of_the_whole_array(
    site: Site,
    run: Run,
    paths: Any,
    estimator: Any,
    output: str,
    method: str,
    names: list[str],
    kill_after: int,
) -> None:
    path, model = paths(estimator, target="kind" if estimator is CLASSIFIER else "")
    found = run(path, "predict", model=model, output=output, kill_after=kill_after)
    with site.open() as portal:
        target: Any = portal[found["array"]]
        expected = getattr(estimator, method)(TABLE)
        assert found["rows"] == 3000 and target.dtype == expected.dtype
        assert np.allclose(target[:], expected, rtol=1e-13, atol=1e-15) and target.shape == expected.shape
        assert [column.name for column in target.columns] == names
        assert target.linked("source") == [path] and target.linked("model") == [model]
        assert portal[model].linked("prediction") == [target.path]


def test_readers_see_the_old_rows_until_the_new_ones_are_whole(site: Site, run: Run, paths: Any) -> None:
    path, model = paths(CLASSIFIER)
    made = run(path, "predict", model=model, reference="kinds")["array"]
    site.transact(lambda portal: portal[path].__setitem__(slice(None), -TABLE))  # type: ignore[index]
    steps = 0
    with site.open() as reader:
        original = Predict.finish

        def look(self: Any, *arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            reader.abort()
            assert np.array_equal(reader[made][:], CLASSIFIER.predict(TABLE))  # type: ignore[index]
            return original(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Predict, "finish", look)
            assert run(path, "predict", model=model, reference="kinds")["array"] == made
        reader.abort()
        assert steps == 1
        assert np.array_equal(reader[made][:], CLASSIFIER.predict(-TABLE))  # type: ignore[index]


def test_job_predicts_in_parts_by_one_training(
    site: Site, paths: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = paths(CLASSIFIER)
    with site.open() as portal:
        target: Any = portal.new("Data Array")
        job = portal.map_reduce("predict", portal[path], target, step=9000, parameters={"model": model})
        portal.commit()
        assert job.wait(60).result == {"array": target.path, "rows": 3000}
        assert np.array_equal(target[:], CLASSIFIER.predict(TABLE))
        original, done = Predict.rows, list[int]()

        def rows(self: Any, part: Any) -> Any:
            if part.start and not done:
                done.append(1)
                site.transact(lambda other: other[model].save(CLASSIFIER))  # type: ignore[attr-defined]
            return original(self, part)

        monkeypatch.setattr(Predict, "rows", rows)
        job = portal.map_reduce("predict", portal[path], step=9000, parameters={"model": model})
        portal.commit()
        assert job.wait(60).state == "failed" and "trained anew meanwhile" in str(job.error)


def test_columns_are_those_of_the_model_or_those_asked_for(site: Site, run: Run, paths: Any) -> None:
    swapped = SGDClassifier(random_state=0).fit(TABLE[:, [2, 0]], LABELS)
    path, model = paths(swapped, features=["c", "a"])
    for columns in ((), ("c", "a"), ("2", "0")):
        found = run(path, "predict", model=model, columns=columns)
        with site.open() as portal:
            assert np.array_equal(portal[found["array"]][:], swapped.predict(TABLE[:, [2, 0]]))  # type: ignore[index]


@pytest.mark.parametrize(
    ("estimator", "given", "message"),
    [
        (CLASSIFIER, {"model": ""}, "say the path of a Model"),
        (CLASSIFIER, {"output": "transform"}, "a SGDClassifier has no transform"),
        (CLASSIFIER, {"columns": ("a",)}, "takes 3 of them, these are 1"),
    ],
    ids=["no model", "no such output", "too few columns"],
)
def test_what_cannot_be_predicted_is_told(
    run: Run, paths: Any, estimator: Any, given: dict[str, Any], message: str
) -> None:
    path, model = paths(estimator)
    with pytest.raises(InvalidError, match=message):
        run(path, "predict", **({"model": model} | given))


def test_document_that_is_no_model_is_told(run: Run, paths: Any) -> None:
    path, _ = paths(CLASSIFIER)
    with pytest.raises(InvalidError, match="is a Data Array, no Model"):
        run(path, "predict", model=path)


def test_row_without_a_number_is_told(run: Run, paths: Any) -> None:
    rows = TABLE.copy()
    rows[1234, 1] = np.nan
    path, model = paths(CLASSIFIER, rows)
    with pytest.raises(InvalidError, match="Row 1234 has nan in column 'b'"):
        run(path, "predict", model=model)
