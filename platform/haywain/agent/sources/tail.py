"""Files that grow by lines: logs, over their rotation."""

from collections.abc import Iterator
from fnmatch import fnmatch
from glob import glob
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from haywain.agent.follow import Follower
from haywain.agent.source import Draft, Outlet, Pause, Seconds, SourceConfig
from haywain.agent.template import FILE_FIELDS, fields_of, item_of

LOOKED = "(looked)"
"""The item whose position says that what begins at the end of files has begun."""

ROTATED = ("*.gz", "*.bz2", "*.xz", "*.zst", "*~", "*.[0-9]", "*.[0-9][0-9]", "*-20[0-9][0-9]*", "*.swp")


class _Config(SourceConfig, kw_only=True):
    files: Annotated[list[str], Meta(min_length=1)]
    exclude: tuple[str, ...] = ROTATED
    start: Literal["beginning", "end"] = "beginning"
    poll_s: Seconds = 1.0
    rotate_wait_s: Pause = 5.0
    partial_s: Pause = 10.0

    def anchor(self, base: Path) -> None:
        """Look for relative patterns below `base`."""
        self.files = [str(base / pattern) for pattern in self.files]


class Tail:
    """Reads what is appended to the files of some patterns; whole lines, if they end."""

    Config, fields, default_tag = _Config, FILE_FIELDS, "{host}.{stem}"

    def __init__(self, config: _Config, outlet: Outlet) -> None:
        """Begin where each file was read to."""
        self._config, self._outlet = config, outlet
        self._followers: dict[str, Follower] = {}
        self._skips = config.start == "end" and not outlet.is_once and not outlet.positions

    @staticmethod
    def describe(config: _Config) -> str:
        """Say what would be read."""
        found = sum(1 for _ in matching(config))
        return f"lines of {', '.join(config.files)} ({found} files now), from the {config.start}"

    def run(self) -> None:
        """Read until the end is wanted; with `is_once` to the end of each file."""
        try:
            while True:
                self._look()
                while self._read_all() and not self._outlet.is_stopping():
                    pass
                self._outlet.put()
                if self._outlet.is_once or self._outlet.wait(self._config.poll_s):
                    return
        finally:
            for follower in self._followers.values():
                follower.close()

    def _look(self) -> None:
        """Open the files that are new."""
        if self._skips:
            self._outlet.collect(Draft("", b"", LOOKED, True))
        for path in matching(self._config):
            if str(path) in self._followers:
                continue
            follower = Follower(path, self._outlet.trouble)
            try:
                follower.begin(self._outlet.positions.get(item_of(path)), self._skips)
            except OSError as error:
                self._outlet.trouble(f"{path} cannot be read: {error.strerror}")
                continue
            self._followers[str(path)] = follower
            if self._skips:
                self._outlet.collect(Draft("", b"", item_of(path), follower.parts[0].position))
        self._skips = False

    def _read_all(self) -> bool:
        """Read a piece of each file; return whether there may be more."""
        return sum(self._read(name, follower) for name, follower in list(self._followers.items())) > 0

    def _read(self, name: str, follower: Follower) -> bool:
        config = self._config
        try:
            found = follower.read(
                config.frame_bytes,
                is_last=self._outlet.is_once,
                patience_s=config.rotate_wait_s,
                partial_s=config.partial_s,
            )
        except OSError as error:
            self._outlet.trouble(f"{name} cannot be read: {error.strerror}")
            return False
        if found is not None:
            data, position = found
            tag = self._outlet.tag(fields_of(follower.path))
            self._outlet.collect(Draft(tag, data, item_of(name), position))
            return True
        if follower.is_gone(config.rotate_wait_s):
            follower.close()
            del self._followers[name]
            self._outlet.collect(Draft("", b"", item_of(name)))
        return False


def matching(config: _Config) -> Iterator[Path]:
    """Yield the files that the patterns name, each once, in order."""
    names = sorted({name for pattern in config.files for name in glob(pattern, recursive=True)})
    for name in names:
        path = Path(name)
        if path.is_file() and not any(fnmatch(path.name, pattern) for pattern in config.exclude):
            yield path
