"""What is piped into the agent."""

import sys

from haywain.agent.pipe import pieces
from haywain.agent.source import Draft, Outlet, SourceConfig


class _Config(SourceConfig, kw_only=True):
    pass


class Stdin:
    """Reads standard input to its end.

    A pipe cannot be read twice: what was read less than a second before a kill is lost with the agent.
    """

    Config, fields, default_tag = _Config, (), "{host}.{source}"

    def __init__(self, config: _Config, outlet: Outlet) -> None:
        """Begin with what comes next."""
        self._config, self._outlet = config, outlet

    @staticmethod
    def describe(config: _Config) -> str:
        """Say what would be read."""
        return "standard input, to its end"

    def run(self) -> None:
        """Read to the end."""
        tag = self._outlet.tag()
        for piece in pieces(sys.stdin.fileno(), self._config.frame_bytes, self._outlet.is_stopping):
            self._outlet.put(Draft(tag, piece))
