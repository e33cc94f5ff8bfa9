"""The wear of the demo's bearing: the spectra of its recordings, and how loud they are where it rings.

Each impact of a ball on the spall rings the structure at 3,400 Hz (`docs/turbine-model.md`), so the level
around that frequency grows with the fault from recording to recording, long before one hears it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haywain.activity.job import Job
from haywain.activity.record import ENDED
from haywain.agent.turbine import FULL_SCALE_G, RATE_HZ
from haywain.errors import HaywainError
from haywain.portal import Portal, Site

REFERENCE = "turbine bearing wear"
TAG = "turbine-spectra"
BAND_HZ = (2_800.0, 4_000.0)
NPERSEG = 4096
COLUMNS = (
    {"name": "level", "unit": "g", "description": "RMS of the radial vibration from 2,800 to 4,000 Hz"},
    {"name": "peak", "unit": "Hz", "description": "Frequency of the strongest line"},
)


def show_wear(site: Site, recordings: list[str], pause: Callable[[], None]) -> str:
    """Compute the spectra of recordings, given by their paths, in the background, and what they tell.

    Returns the path of a Data Array with a row for each recording; it is made once.  `pause` waits a moment,
    and raises to end the waiting.  Raises HaywainError if a spectrum fails.
    """
    known, _ = site.transact(_known)
    if known:
        return known
    ids, _ = site.transact(lambda portal: [_begin(portal, path) for path in recordings])
    while not _have_ended(site, ids):
        pause()
    path, _ = site.transact(lambda portal: _write(portal, ids))
    return path


def _known(portal: Portal) -> str:
    return next((hit.path for hit in portal.catalog(portal_type="Data Array", reference=REFERENCE)), "")


def _begin(portal: Portal, path: str) -> str:
    job = portal[path].activate(tag=TAG, dedupe_key=TAG).queue("spectrum", {"channel": 0, "nperseg": NPERSEG})
    return job.id


def _have_ended(site: Site, ids: list[str]) -> bool:
    with site.open() as portal:
        return all(portal.job(id).state in ENDED for id in ids)


def _write(portal: Portal, ids: list[str]) -> str:
    rows = [_row(portal, portal.job(id)) for id in ids]
    array: Any = portal.new(
        "Data Array",
        reference=REFERENCE,
        title="How the bearing's fault grows",
        description="A row for each recording, from turbine-1.wav to turbine-6.wav.",
        columns=COLUMNS,
    )
    array.create(shape=(0, len(COLUMNS)), dtype="<f8")
    array.append(rows)
    for id in ids:
        array.link("source", portal[portal.job(id).as_dict()["path"]])
    return str(array.path)


def _row(portal: Portal, job: Job) -> tuple[float, float]:
    if job.state != "done":
        raise HaywainError(f"The spectrum of {job.as_dict()['path']} is {job.state}: {job.error}")
    spectrogram: Any = portal[job.result["array"]]
    return level_g(spectrogram[:]), job.result["peak_hz"]


def level_g(density: NDArray[np.floating[Any]]) -> float:
    """Return the RMS of the band in g, of a spectrogram (times, frequencies) in squared counts per Hz.

    A band's mean square is the integral of its density (Parseval).
    """
    width_hz = RATE_HZ / NPERSEG
    first, last = (round(edge / width_hz) for edge in BAND_HZ)
    mean_square = density[:, first : last + 1].mean(axis=0).sum() * width_hz
    return float(np.sqrt(mean_square)) * FULL_SCALE_G / 2**15
