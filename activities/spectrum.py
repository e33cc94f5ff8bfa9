"""Spectrum: the strongest line of a recording, and how its spectrum changes over time."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from haywain.activity.kept import Arrays
from haywain.activity.kind import NoParameters, Work
from haywain.activity.map_reduce import MapReduce, Part
from haywain.activity.product import name_of, product_of
from haywain.analysis.peak import (
    EXACT_BYTES,
    Bands,
    Zoom,
    block_length,
    exact_peak,
    fft_bytes,
    segment_length,
)
from haywain.analysis.picture import draw
from haywain.analysis.signal import SignalSource, check_channel, check_rate
from haywain.analysis.wav import first_part, may_begin_wav
from haywain.analysis.welch import Grid, Stretch, stretch_of
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.data_stream import DataStream
from haywain.portal_types.image import Image

PIECE_SAMPLES = 1 << 22
"""Samples that are looked at at once; as many as the longest segments, or more."""

_NO_WAV = "This is no WAV from byte 0 on: make an array of the stream, and compute the spectrum of that"
_UNCERTAIN = (
    "No line stands out: the peak was found in pieces, and a frequency that was not looked into"
    " may be as strong"
)


class _Parameters(NoParameters):
    channel: int = Field(0, ge=0, description="Which channel, column or field, counted from 0.")
    rate_hz: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Samples a second of an array that does not tell; 0 takes what is told.",
    )
    nperseg: int = Field(
        4096,
        title="Samples of a segment",
        ge=2,
        le=32_768,
        description="More of them tell frequencies better, time worse.",
    )
    accept_cut: bool = Field(
        False, title="Accept a cut recording", description="Take what is there of a WAV that is cut short."
    )


class Spectrum(MapReduce):
    """Find the peak of the whole signal, and make its spectrogram: a Data Array and an Image.

    `peak_hz` is the frequency of the largest magnitude of the full-length real Fourier transform, bin 0 (the
    mean) left out; 0 for a signal that does not change.  Where that transform takes more than 512 MiB, the
    peak is found in two passes of flat memory; how, and where that is certain, says `haywain.analysis.peak`.

    The array has a row for each of at most 1,024 stretches of time and a column for each frequency: the power
    spectral density by Welch's method (Hann window, half overlapped, one-sided), in the unit of the samples
    squared per Hz.  Run again, it replaces array and image together.

    A part is a stretch of samples: the first pass sums up the segments that begin in it, the second its share
    of the few lines that may be the strongest.
    """

    name = "spectrum"
    title = "Compute the spectrum"
    portal_types = ("Data Stream", "Data Array")
    parameters = _Parameters
    makes = "Data Array"
    passes = 2
    exact_bytes = EXACT_BYTES

    def suits(self, document: Document) -> str:
        """Say that there is no WAV, or no column of numbers."""
        if isinstance(document, DataArray):
            return _why_not_array(document)
        if not document.size:
            return "The stream is empty"
        return "" if may_begin_wav(cast(DataStream, document).read(0, 12)) else _NO_WAV

    def check_given(self, source: Document, given: BaseModel) -> None:
        """Refuse what is no signal, or too short a one."""
        count = _source_of(source, given).count
        if count < 2:
            raise InvalidError(f"A spectrum needs 2 samples at least; there are {count}")

    def length(self, source: Document, given: BaseModel) -> int:
        """Return the number of samples: what comes while it runs, the next run sees."""
        return _source_of(source, given).count

    def cuts(self, source: Document, length: int, step_bytes: int, given: BaseModel) -> Iterator[int]:
        """Cut between whole segments and blocks of what finds the peak."""
        whole = 1 if self._is_exact(length) else max(segment_length(length), block_length(length))
        step = max(step_bytes // (_source_of(source, given).row_bytes * whole), 1) * whole
        yield from range(step, length, step)
        yield length

    def rests_on(self, source: Document, start: int, stop: int, given: BaseModel) -> bytes:
        """Return what the samples of a part rest on, and how many there are in all."""
        if not isinstance(source, DataArray):
            return super().rests_on(source, start, stop, given)
        count, nperseg = len(source), cast(_Parameters, given).nperseg
        return repr((count, source.fingerprint(start, min(stop + nperseg, count)))).encode()

    def _is_exact(self, count: int) -> bool:
        return fft_bytes(count) <= self.exact_bytes

    def map(self, part: Part) -> Arrays:
        """Sum up the segments that begin in a part; in the second pass, its lines."""
        return self._lines(part) if part.known else self._segments(part)

    def _segments(self, part: Part) -> Arrays:
        given = cast(_Parameters, part.parameters)
        source = replace(_source_of(part.source, given), count=part.length)
        grid = Grid(part.length, source.rate_hz, given.nperseg)
        bands = Bands(part.length, _shift(source))
        stretch = stretch_of(grid, 0, 0, np.zeros(0))
        for start, stop in _pieces(part):
            first, last = grid.segments_in(start, stop)
            samples = source.read(start, max(stop, grid.samples_of(first, last)[1]))
            if last > first:
                own = samples[grid.samples_of(first, last)[0] - start :]
                stretch = stretch.merged(stretch_of(grid, first, last, own))
            if not self._is_exact(part.length):
                bands.add(samples[: stop - start])
        found = {"first": np.array(stretch.first), "density": stretch.density}
        return found if self._is_exact(part.length) else found | bands.state()

    def _lines(self, part: Part) -> Arrays:
        source = replace(_source_of(part.source, part.parameters), count=part.length)
        reach, exponent = map(int, part.known["zoom"])
        zoom = Zoom(part.length, part.known["middles"].tolist(), reach, exponent, part.start)
        for start, stop in _pieces(part):
            zoom.add(source.read(start, stop))
        return {"lines": zoom.lines}

    def reduce(self, one: Arrays, other: Arrays) -> Arrays:
        """Put two stretches side by side together."""
        if "lines" in one:
            return {"lines": one["lines"] + other["lines"]}
        both = _stretch(one).merged(_stretch(other))
        found = {"first": np.array(both.first), "density": both.density}
        if "bands" not in one:
            return found
        bands = Bands.of(one)
        bands.merge(Bands.of(other))
        return found | bands.state()

    def again(self, known: Arrays, total: Arrays) -> Arrays | None:
        """Look into the bands that may hold the peak, where it is not found at once."""
        bands = Bands.of(total) if "bands" in total else None
        chosen = bands.strongest() if bands is not None else []
        if bands is None or not chosen:
            return None
        return {
            "middles": np.array(bands.middles(chosen)),
            "zoom": np.array([bands.reach(), bands.exponent]),
            "_others": np.array(bands.largest_but(chosen)),
            "_density": total["density"],
        }

    def finish(self, work: Work, known: Arrays, total: Arrays) -> dict[str, Any]:  # Any: JSON
        """Return the paths of array and image, and the peak in Hz; `warning` where it may be another."""
        count = work.cursor["length"]
        source = replace(_source_of(work.document, work.parameters), count=count)
        peak, is_certain = 0, True
        if "lines" in total:
            reach, exponent = map(int, known["zoom"])
            zoom = Zoom(count, known["middles"].tolist(), reach, exponent, lines=total["lines"])
            peak, power = zoom.peak()
            is_certain = power >= float(known["_others"])
        elif self._is_exact(count):
            peak = exact_peak(source.read(0, count))
        density = known.get("_density", total.get("density"))
        assert density is not None
        array, image = _keep(work, Grid(count, source.rate_hz, _nperseg(work)), density)
        result = {"array": array.path, "image": image.path, "peak_hz": _hertz(peak, source)}
        return result if is_certain else result | {"warning": _UNCERTAIN}


def _pieces(part: Part) -> Iterator[tuple[int, int]]:
    """Yield the samples [start, stop) of a part, in whole segments and blocks, in flat memory."""
    for start in range(part.start, part.stop, PIECE_SAMPLES):
        part.check()
        yield start, min(start + PIECE_SAMPLES, part.stop)


def _shift(source: SignalSource) -> float:
    """Return the mean of the begin of a signal."""
    head = source.read(0, segment_length(source.count))
    return float(np.ldexp(np.ldexp(head, -11).mean(), 11))


def _stretch(arrays: Arrays) -> Stretch:
    return Stretch(int(arrays["first"]), arrays["density"])


def _nperseg(work: Work) -> int:
    return cast(_Parameters, work.parameters).nperseg


def _source_of(document: Document, parameters: BaseModel) -> SignalSource:
    """Return the channel asked for; raises InvalidError."""
    given = cast(_Parameters, parameters)
    if isinstance(document, DataArray):
        return _source_of_array(document, given)
    stream = cast(DataStream, document)
    if not may_begin_wav(stream.read(0, 12)):
        raise InvalidError(_NO_WAV)
    if given.rate_hz:
        raise InvalidError("rate_hz: a WAV tells its own")
    part, _ = first_part(stream.open(), given.accept_cut)
    check_channel(given.channel, part.layout.dtype, part.layout.row_shape)
    return SignalSource(
        part.frames_until(stream.size),
        part.layout.rate_hz,
        given.channel,
        lambda start, stop: part.read(stream.open(), start, stop),
        part.frame_bytes,
    )


def _why_not_array(array: DataArray) -> str:
    """Say why no column of an array is a signal; "" if one may be."""
    if not array.is_created or not array.shape or not len(array):
        return "The array has no rows"
    for channel in range(len(array.dtype.names or (0,))):
        try:
            check_channel(channel, array.dtype, array.shape[1:])
        except InvalidError as error:
            reason = error.detail
        else:
            return ""
    return "The array has no column of real numbers" if reason.startswith("channel: ") else reason


def _source_of_array(array: DataArray, given: _Parameters) -> SignalSource:
    if not array.shape:
        raise InvalidError("A signal needs rows; this array is a single value")
    check_channel(given.channel, array.dtype, array.shape[1:])
    told_hz = given.rate_hz or array.properties.rate_hz
    if not told_hz:
        raise InvalidError("rate_hz: the array does not tell how many rows a second it has; say it")
    rate_hz, row_bytes = check_rate(told_hz), max(array.row_bytes, 1)
    return SignalSource(len(array), rate_hz, given.channel, array.read, row_bytes)


def _hertz(peak: int, source: SignalSource) -> float:
    """Return the frequency of a bin, to the last digit that of `numpy.fft.rfftfreq`."""
    return float(peak * (1.0 / (source.count * (1.0 / source.rate_hz))))


def _keep(work: Work, grid: Grid, density: NDArray[np.float64]) -> tuple[DataArray, Image]:
    """Put the spectrogram into its array and its image, which are made at the first run."""
    source, given = work.document, cast(_Parameters, work.parameters)
    if not np.isfinite(density).all():
        raise InvalidError(
            "The squares of the samples are beyond float64: make an array of them in another unit"
        )
    reference = f"{name_of(source)} spectrum" + (f" {given.channel}" if given.channel else "")
    told = (
        f"Power spectral density of channel {given.channel} of {name_of(source)}, in the unit of its samples"
        f" squared per Hz: {grid.columns} stretches of {grid.count / grid.rate_hz / grid.columns:.6g} s,"
        f" {density.shape[1]} frequencies from 0 to {grid.rate_hz / 2:g} Hz,"
        f" {grid.rate_hz / grid.length:.6g} Hz apart."
    )
    purpose = f"{Spectrum.name} {given.channel}"
    made = work.target or product_of(work.portal, source, purpose, "Data Array", reference)
    array = cast(DataArray, made)
    array.edit(
        description=f"{told} A row is a stretch of time, a column a frequency.",
        rate_hz=grid.columns * grid.rate_hz / grid.count,
    )
    array.create((0, density.shape[1]), density.dtype)
    array.append(density)
    picture = f"{told} Time goes right, frequency up, brighter is stronger."
    made = product_of(work.portal, source, purpose, "Image", reference, description=picture)
    image = cast(Image, made)
    image.replace(draw(density))
    return array, image
