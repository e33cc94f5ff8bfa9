"""Train: an estimator of scikit-learn learns from the rows of a Data Array, and becomes a Model."""

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from haywain.activities._table import Lanes, check_finite, column_of, lanes_in, table_of
from haywain.activity.kept import Arrays
from haywain.activity.kind import Kind, NoParameters, Work
from haywain.activity.product import check_edition, edition_of, name_of, product_of
from haywain.analysis import learning, skops_file
from haywain.document import NAME_LENGTH, Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.model import Model
from haywain.store.lanes import Lane
from haywain.values import MIB

IN_MEMORY_BYTES = 256 * MIB
"""Most bytes of the columns, as float64, for those that need all rows at once."""


def _text_of_object(value: Any) -> Any:  # Any: what was given; pydantic checks the type
    return json.dumps(value) if isinstance(value, dict) else value


class _Parameters(NoParameters):
    estimator: Literal[
        "sgd_classifier",
        "sgd_regressor",
        "perceptron",
        "gaussian_nb",
        "minibatch_kmeans",
        "incremental_pca",
        "standard_scaler",
        "logistic_regression",
        "ridge",
        "random_forest_classifier",
        "random_forest_regressor",
    ] = Field(
        "sgd_classifier", description="What learns. The last four need all rows in memory, at most 256 MiB."
    )
    features: tuple[str, ...] = Field(
        (),
        max_length=10_000,
        description="Columns to learn from, by name or number. Empty: all but the target.",
    )
    target: str = Field(
        "",
        max_length=NAME_LENGTH,
        description="Column to be predicted, by name or number, where there is one.",
    )
    epochs: int = Field(1, ge=1, le=1000, description="How often to go through all rows.")
    random_state: int = Field(0, ge=0, le=2**32 - 1, description="With the same one the same comes out.")
    estimator_parameters: Annotated[str, BeforeValidator(_text_of_object)] = Field(
        "{}",
        max_length=10_000,
        examples=['{"alpha": 0.001}'],
        description='Parameters as scikit-learn names them, a JSON object: {"alpha": 0.001}.',
    )
    test_share: float = Field(
        0.0, ge=0, le=0.9, description="Share of the rows that are not learnt from but give the scores."
    )
    scale: bool = Field(
        False, description="First learn mean and deviation of each feature, and even them out."
    )
    reference: str = Field("", max_length=NAME_LENGTH, description="Name of the model. Empty: made up.")


@dataclass
class _Training:
    """What is learnt so far, and how rows become what is learnt from."""

    estimator: Any  # scikit-learn has no types
    scaler: Any  # as above; None without one
    lanes: Lanes
    target: tuple[str, Lane] | None
    share: float
    classes: NDArray[Any] = field(default_factory=lambda: np.empty(0))  # Any: of the target's dtype
    sums: NDArray[np.float64] = field(default_factory=learning.scores_of_nothing)

    def kept(self) -> Arrays:
        """Return it all as arrays."""
        models = {"estimator": self.estimator} | ({"scaler": self.scaler} if self.scaler is not None else {})
        files = {name: np.frombuffer(skops_file.dump(one), np.uint8) for name, one in models.items()}
        return {"classes": self.classes, "sums": self.sums, **files}

    def resume(self, kept: Arrays) -> None:
        """Go on from what was kept."""
        self.classes, self.sums = kept["classes"], kept["sums"]
        self.estimator = skops_file.load(kept["estimator"].tobytes())
        if "scaler" in kept:
            self.scaler = skops_file.load(kept["scaler"].tobytes())

    @property
    def kind(self) -> str:
        """Whether it is a classifier, regressor, clusterer or transformer."""
        return learning.kind_of(self.estimator)

    @property
    def phases(self) -> list[str]:
        """The passes over the rows before and after those of the epochs."""
        return ["classify"] * (self.kind == "classifier") + ["scale"] * (self.scaler is not None)

    def do(self, phase: str, array: DataArray, start: int, stop: int) -> None:
        """Do one phase with the rows [start, stop)."""
        rows = array.read(start, stop)
        is_test = learning.held_out(start, stop, self.share)
        y = self._target_of(rows, start)
        if phase == "classify":
            assert y is not None
            self.classes = learning.classes_with(self.classes, y)
            return
        taken = is_test if phase == "score" else ~is_test
        nan = learning.takes_nan(self.estimator)
        x = table_of(rows, self.lanes, start, nan)[taken]
        y = y[taken] if y is not None else None
        if not len(x):
            return
        if phase == "scale":
            self.scaler.partial_fit(x)
            return
        x = self.scaler.transform(x) if self.scaler is not None else x
        if phase == "score":
            self.sums = learning.scored(self.sums, self.kind, self.estimator, x, y)
        else:
            self._learn(phase, x, y)

    def _learn(self, phase: str, x: NDArray[np.float64], y: NDArray[Any] | None) -> None:  # Any: as above
        if phase == "fit":
            self.estimator.fit(x, y)
        elif self.kind == "classifier":
            self.estimator.partial_fit(x, y, classes=self.classes)
        elif y is None:
            self.estimator.partial_fit(x)
        else:
            self.estimator.partial_fit(x, y)

    def _target_of(self, rows: NDArray[Any], first: int) -> NDArray[Any] | None:  # Any: as above
        if self.target is None:
            return None
        name, lane = self.target
        found = column_of(rows, lane)
        check_finite(found, name, first)
        return found

    def result(self) -> Any:  # Any: as above
        """Return the estimator, behind the scaler if there is one."""
        if self.scaler is None:
            return self.estimator
        from sklearn.pipeline import Pipeline

        return Pipeline([("scale", self.scaler), ("model", self.estimator)])


class Train(Kind):
    """Learn from the rows in chunks of about 16 MiB, in their order, a chunk a step.

    What comes out is what `partial_fit` of the same chunks makes.  A Model with the same name is replaced.
    """

    name = "train"
    title = "Train a model"
    portal_types = ("Data Array",)
    parameters = _Parameters
    step_bytes = 16 * MIB

    def suits(self, document: Document) -> str:
        """Say that there are no rows."""
        array = cast(DataArray, document)
        return "" if array.is_created and array.shape and len(array) else "The array has no rows"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Learn, and keep the Model; the result is its path, its scores and how many rows were read."""
        array, given, cursor = cast(DataArray, work.document), cast(_Parameters, work.parameters), work.cursor
        training = _training(array, given)
        if work.kept:
            training.resume(work.kept)
        rows, edition = cursor.setdefault("rows", len(array)), cursor.setdefault("edition", edition_of(array))
        if not rows:
            raise InvalidError(f"{name_of(array)} has no rows")
        step = max(self.step_bytes // max(array.row_bytes, 8 * len(training.lanes)), 1)
        chunks = learning.chunks_of(rows, step)
        is_whole = given.estimator in learning.IN_MEMORY
        if is_whole:
            _check_room(rows, training.lanes)
        fits = ["fit"] if is_whole else ["partial_fit"] * given.epochs
        phases = [*training.phases, *fits, *(["score"] if given.test_share else [])]
        for number in range(cursor.setdefault("phase", 0), len(phases)):
            parts = [(0, rows)] if phases[number] == "fit" else chunks
            for part in range(cursor.get("done", 0), len(parts)):
                work.check()
                check_edition(array, edition)
                training.do(phases[number], array, *parts[part])
                cursor |= {"done": part + 1}
                if not (is_whole and number >= len(training.phases)):  # a forest may be too large to be kept
                    work.kept = training.kept()
                    yield (number + (part + 1) / len(parts)) / len(phases)
            cursor |= {"phase": number + 1, "done": 0}
        return self._finish(work, training, given)

    def _finish(self, work: Work, training: _Training, given: _Parameters) -> dict[str, Any]:  # Any: JSON
        array, rows = work.document, work.cursor["rows"]
        reference = given.reference or f"{name_of(array)} {given.estimator.replace('_', ' ')}"
        made = product_of(
            work.portal, array, f"{self.name} {reference[:NAME_LENGTH]}", "Model", reference[:NAME_LENGTH]
        )
        model, scores = cast(Model, made), learning.scores(training.sums, training.kind)
        model.save(
            training.result(),
            source=array,
            features=list(training.lanes),
            target=training.target[0] if training.target is not None else "",
            scores=scores,
            activity=work.id,
            rows=rows,
        )
        return {"model": model.path, "scores": scores, "rows": rows}


def _training(array: DataArray, given: _Parameters) -> _Training:
    """Return what has learnt nothing yet; raises InvalidError for what cannot learn from this array."""
    estimator = learning.make(given.estimator, _object(given.estimator_parameters), given.random_state)
    needs_target = learning.kind_of(estimator) in ("classifier", "regressor")
    if needs_target and not given.target:
        raise InvalidError(f"target: {given.estimator} learns to predict a column; say which")
    if not needs_target and given.target:
        raise InvalidError(f"target: {given.estimator} predicts no column; leave it out")
    target = next(iter(lanes_in(array, [given.target]).items())) if given.target else None
    lanes = lanes_in(array, given.features)
    if target is not None:
        if given.features and target[0] in lanes:
            raise InvalidError(f"features: {target[0]!r} is the target")
        lanes.pop(target[0], None)
    if not lanes:
        raise InvalidError("features: there is no column of numbers to learn from")
    scaler = learning.make("standard_scaler", {}, 0) if given.scale else None
    return _Training(estimator, scaler, lanes, target, given.test_share)


def _object(text: str) -> dict[str, Any]:  # Any: JSON
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise InvalidError(f"estimator_parameters: this is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidError("estimator_parameters: this is no JSON object")
    return found


def _check_room(rows: int, lanes: Lanes) -> None:
    size = rows * len(lanes) * 8
    if size > IN_MEMORY_BYTES:
        raise InvalidError(
            f"estimator: it needs all rows in memory, {size} bytes, and {IN_MEMORY_BYTES} are the most;"
            " take one that learns from chunks, such as sgd_classifier, or fewer features"
        )
