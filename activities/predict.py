"""Predict: what a Model makes of the rows of a Data Array, as another Data Array."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from pydantic import BaseModel, Field

from haywain.activities._table import Lanes, lanes_in, table_of
from haywain.activity.kept import Arrays
from haywain.activity.kind import NoParameters, Work
from haywain.activity.map_reduce import Part
from haywain.activity.product import name_of
from haywain.activity.row_map import RowMap, describe
from haywain.analysis.learning import predicted, takes_nan
from haywain.analysis.rows import Layout, Rows
from haywain.document import NAME_LENGTH, Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.model import Model
from haywain.security import require
from haywain.values import MIB

PIECE_BYTES = 4 * MIB
"""Bytes of rows that a model is asked for at once."""


class _Parameters(NoParameters):
    model: str = Field("", max_length=600, description="Path of the Model, such as model_module/1.")
    output: Literal["auto", "predict", "predict_proba", "transform"] = Field(
        "auto", description="What the model is asked for; auto is predict where it has that, else transform."
    )
    columns: tuple[str, ...] = Field(
        (),
        max_length=10_000,
        description="Columns by name or number, in the order of the model's. Empty: its own.",
    )
    reference: str = Field("", max_length=NAME_LENGTH, description="Name of the new array. Empty: made up.")


@dataclass(frozen=True)
class _Asked:
    """What is asked of which estimator, and of which columns."""

    model: Model
    estimator: Any  # scikit-learn has no types
    lanes: Lanes
    method: str

    def rows(self, array: DataArray, start: int, stop: int) -> Rows:
        """Return what it makes of rows; raises InvalidError for one that it cannot take."""
        table = table_of(array.read(start, stop), self.lanes, start, takes_nan(self.estimator))
        return predicted(self.estimator, table, self.method)


class Predict(RowMap):
    """Ask a Model for each row; the new array shows all rows at once, at the end.

    Run again with the same name it replaces them: readers see the old ones or the new ones, whole.  If the
    Model is trained anew meanwhile, it fails.
    """

    name = "predict"
    title = "Predict by a model"
    portal_types = ("Data Array",)
    parameters = _Parameters
    follows = True

    def suits(self, document: Document) -> str:
        """Say that there are no rows."""
        array = cast(DataArray, document)
        return "" if array.is_created and array.shape and len(array) else "The array has no rows"

    def check_given(self, source: Document, given: BaseModel) -> None:
        """Refuse what the model cannot be asked for."""
        if why := self.suits(source):
            raise InvalidError(why)
        _asked(source, given)

    def layout(self, source: Document, given: BaseModel) -> Layout:
        """Return what comes of the first row, and the names of its columns."""
        asked = _asked(source, given)
        rows = asked.rows(cast(DataArray, source), 0, 1)
        names = _names(asked.estimator, asked.model, asked.method)
        width = rows.shape[1] if rows.ndim > 1 else 1
        return Layout(rows.dtype, rows.shape[1:], tuple(names) if len(names) == width else ())

    def rows(self, part: Part) -> Iterator[Rows]:
        """Yield what the model makes of the rows of a part, in flat memory."""
        asked, array = _asked(part.source, part.parameters), cast(DataArray, part.source)
        step = max(PIECE_BYTES // max(array.row_bytes, 8 * len(asked.lanes)), 1)
        for start in range(part.start, part.stop, step):
            yield asked.rows(array, start, min(start + step, part.stop))

    def rests_on_too(self, source: Document, given: BaseModel) -> str:
        """Return by which training of the model rows are made."""
        return _model(source, given).etag

    def note(self, target: Any, source: Document, given: BaseModel) -> None:  # Any: a Data Array
        """Have array and Model name each other."""
        self._link(target, _model(source, given))

    def map(self, part: Part) -> Arrays:
        """Append the rows of a part, and tell by which training of the model."""
        return super().map(part) | {"etags": np.array([_model(part.source, part.parameters).etag], "S64")}

    def finish(self, work: Work, known: Arrays, total: Arrays) -> dict[str, Any]:  # Any: JSON
        """Have the target adopt the rows, and tell by which model they were made."""
        given = cast(_Parameters, work.parameters)
        model = _model(work.document, given)
        if set(total["etags"].tolist()) - {model.etag.encode()}:
            raise InvalidError(f"{name_of(model)} was trained anew meanwhile; run it again")
        reference = (given.reference or f"{name_of(work.document)} by {name_of(model)}")[:NAME_LENGTH]
        target = cast(DataArray, self.target(work, f"{self.name} {reference}", reference))
        assert work.rows is not None
        target.adopt(work.rows)
        describe(target, self.layout(work.document, given))
        self._link(target, model)
        return {"array": target.path, "rows": len(target)}

    def _link(self, target: DataArray, model: Model) -> None:
        """Have array and Model name each other; nothing is written where they do."""
        if target.linked("model") != [model.path]:
            target.categories = tuple(one for one in target.categories if one[0] != "model")
            target.link("model", model)
        model.link("prediction", target)


def _asked(source: Document, parameters: BaseModel) -> _Asked:
    """Return what is asked for; raises InvalidError."""
    given = cast(_Parameters, parameters)
    model = _model(source, given)
    estimator = model.load()
    lanes = _lanes(cast(DataArray, source), model, estimator, given)
    return _Asked(model, estimator, lanes, _method(estimator, given.output))


def _model(source: Document, parameters: BaseModel) -> Model:
    given = cast(_Parameters, parameters)
    if not given.model:
        raise InvalidError("model: say the path of a Model, such as model_module/1")
    portal: Any = getattr(source, "portal", None) or source._p_jar.portal  # Any: of a layer above Document
    found = portal[given.model]
    require(portal.user, "view", found)
    if not isinstance(found, Model):
        raise InvalidError(f"model: {given.model} is a {found.portal_type}, no Model")
    return found


def _lanes(
    array: DataArray, model: Model, estimator: Any, given: _Parameters
) -> Lanes:  # Any: scikit-learn has no types
    found = lanes_in(array, given.columns or model.features)
    wanted = getattr(estimator, "n_features_in_", len(found))
    if len(found) != wanted:
        raise InvalidError(f"columns: {name_of(model)} takes {wanted} of them, these are {len(found)}")
    return found


def _method(estimator: Any, output: str) -> str:  # Any: as above
    method = output if output != "auto" else "predict" if hasattr(estimator, "predict") else "transform"
    if not hasattr(estimator, method):
        raise InvalidError(f"output: a {type(estimator).__name__} has no {method}")
    return method


def _names(estimator: Any, model: Model, method: str) -> list[str]:  # Any: as above
    """Return the names of the columns that are predicted; none where they are not known."""
    if method == "predict":
        return [model.provenance.get("target") or "prediction"]
    if method == "predict_proba":
        return [f"p({name})" for name in estimator.classes_]
    try:
        return list(map(str, estimator.get_feature_names_out()))
    except (AttributeError, ValueError):
        return []
