"""Resampling by a ratio of whole numbers, in stretches: the rows that `scipy.signal.resample_poly` makes.

    y[m] = up * sum over n of h[m * down - n * up] x[n],    |m * down - n * up| <= 10 * max(up, down)

where h is a low-pass filter: a window of Kaiser with beta 5.  A new row rests on the old ones at most
`reach` from its place, so a stretch needs no others; it begins where a new row lies on an old one, which is
at each multiple of `down`.
"""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_WIDTH = 10
"""The filter's half length, as `scipy.signal.resample_poly` has it."""


def reach(ratio: Fraction) -> int:
    """Return how many old rows on either side a new row rests on.

    >>> reach(Fraction(1, 4)), reach(Fraction(3, 1))
    (41, 11)
    """
    return _WIDTH * max(ratio.numerator, ratio.denominator) // ratio.numerator + 1


def whole_steps(rows: int, ratio: Fraction) -> int:
    """Return about so many old rows, the filter's length at least, behind which a new row lies on one."""
    least = max(rows, 2 * reach(ratio))
    return -(-least // ratio.denominator) * ratio.denominator


def rows_at(start: int, stop: int, count: int, ratio: Fraction) -> tuple[int, int]:
    """Return the old rows [low, high) of `count` that the new ones of the stretch [start, stop) rest on."""
    margin = -(-reach(ratio) // ratio.denominator) * ratio.denominator
    return max(start - margin, 0), min(stop + margin, count)


def resampled(around: NDArray[Any], span: tuple[int, int], ratio: Fraction, is_last: bool) -> Floats:
    """Return the new rows of the stretch `span` of these old ones, which begin on a new row.

    The last stretch has those behind its last whole one too: ceil(rows * ratio) in all.
    """
    from scipy.signal import resample_poly

    up, down = ratio.numerator, ratio.denominator
    found: Floats = resample_poly(around, up, down, axis=0)
    start = span[0] * up // down
    stop = len(found) if is_last else span[1] * up // down
    return found[start:stop]
