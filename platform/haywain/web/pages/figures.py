"""Numbers as people read them: sizes, moments, durations."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from haywain import clock

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_MOST_FIELDS = 20
_STEPS = ((60, 1, "second"), (3600, 60, "minute"), (86_400, 3600, "hour"), (30 * 86_400, 86_400, "day"))


def size_text(size_bytes: int) -> str:
    """Return a size with three digits that count.

    >>> size_text(3_840_044), size_text(0), size_text(1023)
    ('3.66 MiB', '0 B', '1023 B')
    """
    value, unit = float(size_bytes), 0
    while value >= 1023.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {_UNITS[unit]}"


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as people read it.

    >>> shape_text((960000, 2)), shape_text(())
    ('960,000 × 2', 'a single value')
    """
    return " × ".join(f"{length:,}" for length in shape) or "a single value"


def type_text(dtype: np.dtype[Any]) -> str:
    """Return a type of values as people read it; of a structure the first fields.

    >>> type_text(np.dtype("<f4")), type_text(np.dtype([("time", "M8[us]"), ("at", "f8", 3), ("who", "U9")]))
    ('float32', 'time: datetime64[us], at: float64 × 3, who: text of 9')
    """
    if dtype.names is not None:
        shown = [f"{name}: {type_text(dtype[name])}" for name in dtype.names[:_MOST_FIELDS]]
        more = len(dtype.names) - len(shown)
        return ", ".join(shown) + (f" and {more:,} more" if more else "")
    if dtype.subdtype is not None:
        return f"{type_text(dtype.base)} × {shape_text(dtype.shape)}"
    if dtype.kind == "U":
        return f"text of {dtype.itemsize // 4}"
    if dtype.kind == "S":
        return f"bytes of {dtype.itemsize}"
    return dtype.name if dtype.isnative else f"{dtype.newbyteorder('=').name}, big-endian"


def count_text(count: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count_text(1, "byte"), count_text(12000, "byte")
    ('1 byte', '12,000 bytes')
    """
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of an English noun, or of a Portal Type.

    >>> plural("Data Supply"), plural("Person"), plural("Data Analysis"), plural("batch")
    ('Data Supplies', 'People', 'Data Analyses', 'batches')
    """
    if noun in ("Person", "Quarantine"):
        return {"Person": "People"}.get(noun, noun)
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    if noun.endswith("sis"):
        return f"{noun[:-2]}es"
    if noun.endswith(("ch", "sh", "s", "x")):
        return f"{noun}es"
    return f"{noun}s"


def duration_text(seconds: float) -> str:
    """Return a duration.

    >>> duration_text(20), duration_text(3725.4), duration_text(0.25)
    ('20.0 s', '1:02:05', '0.250 s')
    """
    if seconds < 60:
        return f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass(frozen=True)
class Moment:
    """A point in time: for machines, for a glance, exactly."""

    iso: str
    ago: str
    exact: str

    @classmethod
    def at(cls, seconds: float) -> "Moment":
        """Return the moment of some seconds since 1970 UTC."""
        exact = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return cls(clock.iso(seconds), ago_text(clock.now_s() - seconds, exact[:10]), exact)


def ago_text(age_s: float, date: str) -> str:
    """Return how long ago something was; its date where that is a month or longer.

    >>> ago_text(7300, "2026-11-22"), ago_text(3, "2026-11-22"), ago_text(1e7, "2026-07-29")
    ('2 hours ago', 'just now', '2026-07-29')
    """
    if age_s < 10:
        return "just now" if age_s > -60 else date
    for limit, unit, noun in _STEPS:
        if age_s < limit:
            return f"{count_text(int(age_s // unit), noun)} ago"
    return date
