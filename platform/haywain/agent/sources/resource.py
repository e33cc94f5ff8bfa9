"""The resource consumption of this machine."""

import time
from typing import Annotated

from msgspec import Meta

from haywain.agent.resource import encode, sample
from haywain.agent.source import Draft, Outlet, Seconds, SourceConfig


class _Config(SourceConfig, kw_only=True):
    interval_s: Seconds = 1.0
    records: Annotated[int, Meta(ge=1, le=10_000)] = 5


class Resource:
    """Sends msgpack records `[time, record]`, as fluentd does; so many together in one chunk."""

    Config, fields, default_tag = _Config, (), "{host}.resource"

    def __init__(self, config: _Config, outlet: Outlet) -> None:
        """Begin with what is consumed from now on."""
        self._config, self._outlet = config, outlet

    @staticmethod
    def describe(config: _Config) -> str:
        """Say what would be read."""
        return f"the resource consumption of this machine, every {config.interval_s:g} s"

    def run(self) -> None:
        """Sample until the end is wanted; with `is_once` one time."""
        tag, records = self._outlet.tag(), list[bytes]()
        sample()  # the first cpu_percent of a thread means nothing
        next_s = time.monotonic()
        while True:
            next_s = max(next_s + self._config.interval_s, time.monotonic())
            is_last = self._outlet.wait(next_s - time.monotonic()) or self._outlet.is_once
            records.append(encode(time.time_ns(), sample()))
            if is_last or len(records) >= self._config.records:
                self._outlet.put(Draft(tag, b"".join(records)))
                records.clear()
            if is_last:
                return
