"""Predict: what a Model makes of the rows of a Data Array, as another Data Array."""

from collections.abc import Generator
from typing import Any, Literal, cast

from pydantic import Field

from haywain.activities._table import Lanes, lanes_in, table_of
from haywain.activity.kind import Kind, NoParameters, Work
from haywain.activity.product import check_edition, edition_of, name_of, product_of
from haywain.analysis.learning import chunks_of, predicted, takes_nan
from haywain.document import NAME_LENGTH, Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.model import Model
from haywain.portal_types.progress_indicator import ProgressIndicator
from haywain.security import require
from haywain.store.array import Array
from haywain.values import MIB, Column


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


class Predict(Kind):
    """Ask a Model for each row, in steps of about 16 MiB; the new array shows all rows at once, at the end.

    Run again with the same name it replaces them: readers see the old ones or the new ones, whole.
    """

    name = "predict"
    title = "Predict by a model"
    portal_types = ("Data Array",)
    parameters = _Parameters
    step_bytes = 16 * MIB

    def suits(self, document: Document) -> str:
        """Say that there are no rows."""
        array = cast(DataArray, document)
        return "" if array.is_created and array.shape and len(array) else "The array has no rows"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Append to a draft, and have it adopted; the result names the array and tells its rows."""
        array, given, cursor = cast(DataArray, work.document), cast(_Parameters, work.parameters), work.cursor
        model = _model(work, given)
        estimator = model.load()
        lanes = _lanes(array, model, estimator, given)
        method = _method(estimator, given.output)
        rows, edition = cursor.setdefault("rows", len(array)), cursor.setdefault("edition", edition_of(array))
        etag = cursor.setdefault("etag", model.etag)
        if not rows:
            raise InvalidError(f"{name_of(array)} has no rows")
        reference = (given.reference or f"{name_of(array)} by {name_of(model)}")[:NAME_LENGTH]
        indicator = _indicator(work, reference)
        step = max(self.step_bytes // max(array.row_bytes, 8 * len(lanes)), 1)
        for number, (start, stop) in enumerate(chunks_of(rows, step)):
            if number < cursor.get("done", 0):
                continue
            work.check()
            check_edition(array, edition)
            if model.etag != etag:
                raise InvalidError(f"{name_of(model)} was trained anew meanwhile; run it again")
            table = table_of(array.read(start, stop), lanes, start, takes_nan(estimator))
            _append(indicator, predicted(estimator, table, method), start, work.id)
            indicator.move_draft(stop, stop, edition, method)
            cursor["done"] = number + 1
            yield stop / rows
        return self._finish(work, indicator, model, reference, _names(estimator, model, method))

    def _finish(
        self, work: Work, indicator: ProgressIndicator, model: Model, reference: str, names: list[str]
    ) -> dict[str, Any]:  # Any: JSON
        """Put the draft in the place of the rows there were."""
        _check_maker(indicator, work.id)
        made = product_of(work.portal, work.document, f"{self.name} {reference}", "Data Array", reference)
        target = cast(DataArray, made)
        target.adopt(indicator.end_draft())
        width = target.shape[1] if len(target.shape) > 1 else 1
        columns = tuple(Column(name)._asdict() for name in names) if len(names) == width else ()
        target.edit(columns=columns)
        target.categories = tuple(one for one in target.categories if one[0] != "model")
        target.link("model", model)
        model.link("prediction", target)
        indicator.edit(target=target.path)
        return {"array": target.path, "rows": len(target)}


def _model(work: Work, given: _Parameters) -> Model:
    if not given.model:
        raise InvalidError("model: say the path of a Model, such as model_module/1")
    found = work.portal[given.model]
    require(work.portal.user, "view", found)
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


def _indicator(work: Work, reference: str) -> ProgressIndicator:
    """Return what gathers the draft of this array and this name, made at the first run."""
    key = f"{work.document.uid} {Predict.name} {reference}"
    found = work.portal.root.find("progress", key)
    if found is None:
        found = work.portal.new("Progress Indicator", reference=reference, source=work.document.path, key=key)
    return cast(ProgressIndicator, found)


def _append(indicator: ProgressIndicator, rows: Any, start: int, maker: str) -> None:  # Any: of any dtype
    if not start:
        indicator.begin_draft(Array((0, *rows.shape[1:]), rows.dtype), maker)
    _check_maker(indicator, maker)
    assert indicator.draft is not None
    indicator.draft.append(rows)


def _check_maker(indicator: ProgressIndicator, maker: str) -> None:
    if indicator.draft is None or indicator.maker != maker:
        raise InvalidError(f"Another run began to predict {indicator.reference}; this one gives way")


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
