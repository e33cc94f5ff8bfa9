"""The strongest line of a signal: the bin k of its full-length Fourier transform with the largest |X[k]|.

    X[k] = sum over n < N of x[n] exp(-2 pi i k n / N),   k = 1 ... N // 2

Bin 0 does not count: it is the mean, which is taken away.  Two ways find k:

`exact_peak` transforms the whole signal at once (`scipy.fft.rfft`), where `fft_bytes(N)` can be afforded.

Beyond that the signal is read in pieces, twice, in flat memory, in any order.  First pass, `Bands`: the
energy of each coarse bin, summed over rectangular segments side by side.  A line between two of them shows at
least 0.81 = 2 (2 / pi)**2 of its energy in the two together, so a band is what lies between two neighbours,
and by Cauchy and Schwarz |X|**2 <= segments * energy / 0.81 in it: what a band may hold at most.  Second
pass, `Zoom`: X[k] itself, for all k of the few bands that may hold most.  Over a block of D samples D k / N
changes little within a band, so that exp(-2 pi i k n / N) is the exponential of the band's middle times a
short Taylor series: each block is reduced to a few moments (a matrix product), and X[k] is the sum of the
moments over all blocks, each with the phase of its place.  The phases are computed modulo N in whole numbers,
so X[k] is as exact as from an FFT, about 1e-10 of the largest, however long the signal.

The limit of the second way: it is certain where the line found is larger than what every other band may
hold, as lines of machines, tones and hum are.  In a signal without such a line (noise alone) the largest of
all bins may lie in a band that was not looked into; `Bands.largest_but` tells.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
Lines = NDArray[np.complex128]

EXACT_BYTES = 512 << 20
"""Memory that a transform of the whole signal may take."""

SEGMENT_MAX = 1 << 20
"""Samples of a segment in the first pass, at most."""

BANDS_MAX = 8
"""Bands looked into by the second pass."""

_SHOWN = 2 * (2 / math.pi) ** 2
_NO_EXPONENT = -(1 << 14)  # below that of all numbers
_TOLERANCE = 1e-13


def fft_bytes(count: int) -> int:
    """Return about how many bytes a transform of `count` samples takes.

    A length with a large prime factor is transformed by Bluestein's way, which needs four times as much.
    """
    rest = count
    for prime in (2, 3, 5, 7, 11, 13):
        while rest and rest % prime == 0:
            rest //= prime
    return (24 if rest <= 1 else 100) * count


def exact_peak(signal: Signal) -> int:
    """Return the number of the strongest bin; 0 for a signal that is constant or too short to have one."""
    from scipy.fft import rfft

    if signal.size < 2 or signal.min() == signal.max():
        return 0
    scaled = np.ldexp(signal, -_exponent(signal))  # exact, and no square is too large or too small
    scaled -= scaled.mean()
    lines = rfft(scaled)[1:]
    return int(np.argmax(lines.real**2 + lines.imag**2)) + 1


def _exponent(signal: Signal) -> int:
    """Return the power of two that is just larger than the largest magnitude; 0 for zeros."""
    return int(np.frexp(np.abs(signal).max())[1])


def segment_length(count: int) -> int:
    """Return the samples of a segment for a signal of `count`: a power of two, about 64 segments at least.

    >>> segment_length(1 << 12), segment_length(1 << 31)
    (64, 1048576)
    """
    return min(SEGMENT_MAX, 1 << max((count // 64).bit_length() - 1, 4))


@dataclass
class Bands:
    """First pass: what each coarse bin holds; feed it stretches of whole segments, in any order, and merge.

    `shift`, about the mean of the signal, is taken away: it would leak out of a last segment that is shorter.
    The energy is in units of four to the power of `exponent`: no square is too large or too small.
    """

    count: int
    shift: float = 0.0
    exponent: int = _NO_EXPONENT
    low: float = math.inf
    high: float = -math.inf
    energy: Signal = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        """Begin with nothing, if nothing is told."""
        self.length = segment_length(self.count)
        if not self.energy.size:
            self.energy = np.zeros(self.length // 2 + 1)

    def add(self, signal: Signal) -> None:
        """Add samples: whole segments, except at the end of the signal."""
        from scipy.fft import rfft

        low, high = float(signal.min()), float(signal.max())
        exponent = _exponent(np.array([low, high, self.shift]))
        energy = np.zeros_like(self.energy)
        shift = np.ldexp(self.shift, -exponent)
        for start in range(0, signal.size, self.length):
            scaled = np.ldexp(signal[start : start + self.length], -exponent)
            lines = rfft(scaled - shift, self.length)
            energy += lines.real**2 + lines.imag**2
        exponent = exponent if energy.any() else _NO_EXPONENT
        self.merge(Bands(self.count, self.shift, exponent, low, high, energy))

    def merge(self, other: "Bands") -> None:
        """Add what another one holds."""
        exponent = max(self.exponent, other.exponent)
        self.energy = sum(
            (np.ldexp(one.energy, 2 * (one.exponent - exponent)) for one in (self, other)),
            np.zeros_like(self.energy),
        )
        self.exponent = exponent
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    def state(self) -> dict[str, NDArray[Any]]:  # Any: numbers of whatever dtype
        """Return all of it as arrays, for `of`."""
        told = np.array([self.count, self.shift, self.exponent, self.low, self.high])
        return {"energy": self.energy, "bands": told}

    @classmethod
    def of(cls, state: dict[str, NDArray[Any]]) -> "Bands":  # Any: as above
        """Return what `state` told of."""
        count, shift, exponent, low, high = map(float, state["bands"])
        return cls(int(count), shift, int(exponent), low, high, state["energy"])

    def bounds(self) -> Signal:
        """Return the largest |X[k]|**2 that each band may hold, in the unit of the samples squared."""
        segments = -(-self.count // self.length)
        return (self.energy[:-1] + self.energy[1:]) * (segments / _SHOWN)

    def strongest(self, most: int = BANDS_MAX) -> list[int]:
        """Return the numbers of the bands that may hold most, the first of them first; none of a constant.

        A line has at least a third of what its band may hold, so what may hold less than a quarter of the
        most is left out, but for the first three.
        """
        if self.low >= self.high:
            return []
        bounds = self.bounds()
        order = np.argsort(-bounds, kind="stable")[:most]
        return [int(band) for rank, band in enumerate(order) if rank < 3 or bounds[band] > bounds.max() / 4]

    def middles(self, bands: list[int]) -> list[int]:
        """Return the bins of the whole signal in the middle of bands."""
        return [(2 * band + 1) * self.count // (2 * self.length) for band in bands]

    def reach(self) -> int:
        """Return how many bins on either side of its middle cover a band."""
        return self.count // (2 * self.length) + 2

    def largest_but(self, bands: list[int]) -> float:
        """Return what a band that is not one of these may hold at most."""
        bounds = self.bounds()
        bounds[bands] = 0
        return float(bounds.max())


@dataclass
class Zoom:
    """Second pass: X[k] for the `reach` bins on either side of each of `middles`.

    Feed it the signal from the sample `fed` on, in whole blocks; `lines[i, d + reach]` is then what that adds
    to X[middles[i] + d], in units of two to the power of `exponent`.
    """

    count: int
    middles: list[int]
    reach: int
    exponent: int = 0
    fed: int = 0
    lines: Lines = field(default_factory=lambda: np.zeros((0, 0), np.complex128))

    def __post_init__(self) -> None:
        """Prepare the weights of a block, of at most sqrt(count) samples."""
        if not self.lines.size:
            self.lines = np.zeros((len(self.middles), 2 * self.reach + 1), np.complex128)
        self.block = block_length(self.count)
        while math.pi * self.reach * self.block > self.count:  # else the series cancels, and loses digits
            self.block //= 2
        self.terms = _terms(math.pi * self.reach * self.block / self.count)
        self._weights = _weights(self.count, self.block, self.terms, tuple(self.middles))

    def add(self, signal: Signal) -> None:
        """Add the next samples: whole blocks, except at the end of the signal."""
        signal, blocks = np.ldexp(signal, -self.exponent), -(-signal.size // self.block)
        if signal.size < blocks * self.block:
            signal = np.concatenate([signal, np.zeros(blocks * self.block - signal.size)])
        moments = (signal.reshape(blocks, self.block) @ self._weights).reshape(blocks, -1, 2, self.terms)
        starts = [self.fed + number * self.block for number in range(blocks)]
        turn = [[middle * start % self.count for middle in self.middles] for start in starts]
        turned = (moments[:, :, 0] + 1j * moments[:, :, 1]) * _phase(np.array(turn), self.count)[:, :, None]
        self._sum(turned.reshape(blocks, -1), np.array(starts))
        self.fed += signal.size

    def _sum(self, turned: Lines, starts: NDArray[np.int64]) -> None:
        """Add the blocks' moments to the lines, each with the phase of its place."""
        factorials = np.array([math.factorial(term) for term in range(self.terms)], np.float64)
        for first in range(0, self.reach + 1, 256):  # flat memory
            distance = np.arange(first, min(first + 256, self.reach + 1))
            place = _phase(distance[:, None] * starts, self.count)
            series = (-1j * np.pi * self.block / self.count * distance[:, None]) ** np.arange(
                self.terms
            ) / factorials
            centre = _phase(distance * (self.block - 1) / 2, self.count)
            for side in (1, -1):
                conjugated = np.conj if side < 0 else np.asarray
                sums = (conjugated(place) @ turned).reshape(distance.size, -1, self.terms)
                found = np.einsum("dmt,dt->md", sums, conjugated(series * centre[:, None]))
                chosen = distance if side > 0 else distance[distance > 0]
                self.lines[:, self.reach + side * chosen] += found[:, distance.size - chosen.size :]

    def peak(self) -> tuple[int, float]:
        """Return the strongest of these bins and its |X[k]|**2."""
        bins = np.array(self.middles)[:, None] + np.arange(-self.reach, self.reach + 1)
        power = self.lines.real**2 + self.lines.imag**2
        power[(bins < 1) | (bins > self.count // 2)] = -1
        at = np.unravel_index(int(np.argmax(power)), power.shape)
        return int(bins[at]), float(power[at])


@lru_cache(maxsize=2)
def _weights(count: int, block: int, terms: int, middles: tuple[int, ...]) -> Signal:
    """Return (block, 2 terms) of each middle: its cosine and sine times powers of the place, -1 to 1.

    They are some megabytes, the same for all parts of a signal.
    """
    place = np.arange(block)
    powers = ((2 * place + 1) / block - 1)[:, None] ** np.arange(terms)
    found = []
    for middle in middles:
        wave = _phase(middle * place, count)[:, None]
        found += [wave.real * powers, wave.imag * powers]
    return np.concatenate(found, axis=1)


def block_length(count: int) -> int:
    """Return the samples of a block for a signal of `count`: a power of two, at most its square root."""
    return 1 << (math.isqrt(count).bit_length() - 1)


def _terms(angle: float) -> int:
    """Return how many terms of exp(i angle) make it exact to a float's last digits.

    >>> _terms(0.05), _terms(0.8)
    (8, 15)
    """
    terms, term = 1, angle
    while term > _TOLERANCE:
        terms += 1
        term *= angle / terms
    return terms


def _phase(turns: NDArray[Any], count: int) -> Lines:  # Any: whole numbers, or halves
    """Return exp(-2 pi i turns / count), the turns taken modulo the count first, which is exact."""
    angle = (-2 * np.pi / count) * np.mod(turns, count)
    found = np.empty(angle.shape, np.complex128)
    found.real, found.imag = np.cos(angle), np.sin(angle)
    return found
