"""Cron: rules that say when something is due, five fields or a name such as `@daily`, in a time zone.

`cronsim` reads them as Debian's cron does: where the clocks are put forward, what falls into the hour that
is missing comes right after it; where they are put back, a time of day comes once, and what comes every so
many minutes goes on.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from haywain.errors import InvalidError

NAMES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
"""Rules that have a name."""


def next_after(rule: str, zone: str, after_s: float) -> float:
    """Return the first moment of a rule after another one, both in seconds since 1970 UTC.

    Raises InvalidError for what is no rule or no zone, or never comes.

    >>> next_after("30 6 * * *", "Europe/Berlin", 0.0) / 3600
    5.5
    """
    begin = datetime.fromtimestamp(after_s, zone_of(zone))
    found = (moment.timestamp() for moment in _fields(rule, begin))
    later = next((moment for moment in found if moment > after_s), None)
    if later is None:
        raise InvalidError(f"{rule!r} never comes")
    return later


def in_words(rule: str) -> str:
    """Return a rule as people say it; raises InvalidError.

    >>> in_words("30 6 * * MON-FRI"), in_words("@daily")
    ('At 06:30 on Monday through Friday', 'At 00:00 every day')
    """
    return _fields(rule, datetime(2000, 1, 1)).explain()  # whichever moment


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone; raises InvalidError.

    >>> zone_of("Europe/Berlin").key
    'Europe/Berlin'
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidError(f"{name[:60]!r} is no time zone; say one such as UTC or Europe/Berlin") from None


def _fields(rule: str, begin: datetime) -> CronSim:
    fields = NAMES.get(rule, rule)
    try:
        if len(fields.split()) != 5:
            raise CronSimError("It has not five fields")
        return CronSim(fields, begin)
    except CronSimError as error:
        raise InvalidError(
            f"{rule[:60]!r} is no rule ({error}): say minute, hour, day of the month, month and day of the"
            f" week, such as 30 6 * * MON-FRI, or one of {', '.join(NAMES)}"
        ) from None
