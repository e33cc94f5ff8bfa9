"""Resample: the rows of a Data Array at another rate, filtered so that nothing folds back."""

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import numpy as np
from pydantic import BaseModel, Field

from haywain.activity.kind import NoParameters
from haywain.activity.map_reduce import Part
from haywain.activity.row_map import RowMap
from haywain.analysis.resampling import resampled, rows_at, whole_steps
from haywain.analysis.rows import Layout, Rows, dtype_words
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray

TERMS_MAX = 10_000
"""Largest numbers of the ratio of two rates."""


class _Parameters(NoParameters):
    rate_hz: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Rows a second of the new array; to be said."
    )
    from_hz: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Rows a second of an array that does not tell; 0 if it does.",
    )


class Resample(RowMap):
    """Make an array of the same signals at another rate: what `scipy.signal.resample_poly` makes of all rows.

    A zero-phase low-pass filter (Kaiser window, beta 5) keeps what the new rate can hold; before the first
    row and behind the last one the signals count as zero.  float32 stays float32, all else becomes float64.
    NaN makes the rows around it NaN.
    """

    name = "resample"
    title = "Resample"
    portal_types = ("Data Array",)
    parameters = _Parameters

    def suits(self, document: Document) -> str:
        """Say that there are no rows, or none of plain numbers."""
        array = cast(DataArray, document)
        if not array.is_created or not array.shape or not len(array):
            return "The array has no rows"
        return (
            ""
            if array.dtype.kind in "biuf"
            else f"The rows are of {dtype_words(array.dtype)}, not of numbers"
        )

    def check_given(self, source: Document, given: BaseModel) -> None:
        """Refuse rows of other things than numbers, and rates without a ratio."""
        if why := self.suits(source):
            raise InvalidError(why)
        _ratio(source, given)

    def layout(self, source: Document, given: BaseModel) -> Layout:
        """Return rows like those of the source, of floats."""
        array = cast(DataArray, source)
        dtype = array.dtype if array.dtype.kind == "f" and array.dtype.itemsize == 4 else np.dtype("<f8")
        names = tuple(column.name for column in array.columns)
        return Layout(dtype, array.shape[1:], names, cast(_Parameters, given).rate_hz)

    def cuts(self, source: Document, length: int, step_bytes: int, given: BaseModel) -> Iterator[int]:
        """Cut where a new row lies exactly on an old one."""
        step = whole_steps(self.step_of(source, step_bytes), _ratio(source, given))
        yield from range(step, length, step)
        yield length

    def rows(self, part: Part) -> Iterator[Rows]:
        """Yield the new rows of a part, looking at as many old ones around it as the filter is long."""
        array, ratio = cast(DataArray, part.source), _ratio(part.source, part.parameters)
        low, high = rows_at(part.start, part.stop, part.length, ratio)
        around = array.read(low, high).astype(np.float64)
        dtype = self.layout(array, part.parameters).dtype
        span, is_last = (part.start - low, part.stop - low), part.stop == part.length
        yield resampled(around, span, ratio, is_last).astype(dtype)


def _ratio(source: Document, parameters: BaseModel) -> Fraction:
    """Return new rows for each old one; raises InvalidError where that is no ratio of small numbers."""
    given, array = cast(_Parameters, parameters), cast(DataArray, source)
    if not given.rate_hz:
        raise InvalidError("rate_hz: say how many rows a second the new array is to have")
    from_hz = given.from_hz or array.properties.rate_hz
    if not from_hz:
        raise InvalidError("from_hz: the array does not tell how many rows a second it has; say it")
    found = Fraction(given.rate_hz / from_hz).limit_denominator(TERMS_MAX)
    exact = given.rate_hz / from_hz
    if not 0 < found.numerator <= TERMS_MAX or abs(found / Fraction(exact) - 1) > 1e-9:
        raise InvalidError(
            f"rate_hz: {given.rate_hz:g} to {from_hz:g} is no ratio of whole numbers up to {TERMS_MAX}"
        )
    return found
