"""Raw rows: whole ones are taken, a cut one waits."""

import io

import numpy as np
import pytest

from haywain.analysis.raw import open_raw
from haywain.errors import InvalidError


def test_rows_are_the_bytes() -> None:
    expected = np.arange(12, dtype="<f4").reshape(6, 2)
    reader = open_raw("<f4", (2,))
    rows, after = reader.step(io.BytesIO(expected.tobytes()), 8, 17, 1)
    assert np.array_equal(rows, expected[1:3]) and after == 24
    assert reader.layout.names == ("column 1", "column 2")


def test_cut_row_waits() -> None:
    rows, after = open_raw("i2,f8").step(io.BytesIO(bytes(14)), 0, 100, 0)
    assert (len(rows), after) == (1, 10)


def test_row_larger_than_a_step_is_taken_whole() -> None:
    rows, after = open_raw("<f8", (10,)).step(io.BytesIO(bytes(80)), 0, 1, 0)
    assert (rows.shape, after) == ((1, 10), 80)


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        ("", (), "dtype: raw bytes need one"),
        ("O", (), "no fixed size"),
        ("?x", (), "is no dtype"),
        ("<f4", (0,), "row_shape: .0. must be"),
        ("<f4", (-1,), "row_shape"),
        ("<f4", (10**9,), "row_shape"),
    ],
    ids=["none", "object", "nonsense", "zero", "negative", "huge"],
)
def test_shapes_and_dtypes_that_make_no_sense_are_refused(
    dtype: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        open_raw(dtype, shape)
