"""A unit of systemd for an agent."""

import sys
from pathlib import Path
from typing import Protocol, runtime_checkable

from haywain.agent.config import AgentConfig
from haywain.errors import FencedError, UnauthorizedError


@runtime_checkable
class _Deleting(Protocol):
    """The configuration of a source that may delete what it has sent."""

    folder: str
    delete: bool


_UNIT = """\
[Unit]
Description=Haywain agent
Documentation=https://github.com/haywain/haywain
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={program} agent --config {config}
Restart=always
RestartSec=5
# A fenced agent and a wrong configuration want a person.
RestartPreventExitStatus={stops}
TimeoutStopSec=20
MemoryMax=256M
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={folder}
# Files that only root reads: without a user of its own the agent runs as root; else add
# User=haywain-agent
# SupplementaryGroups=adm

[Install]
WantedBy=multi-user.target
"""


def unit_of(config: AgentConfig, path: Path) -> str:
    """Return the text of a unit that runs an agent with this configuration."""
    program = Path(sys.executable).with_name("haywain")
    writable = [
        config.folder,
        *(Path(c.folder) for _, _, c in config.sources if isinstance(c, _Deleting) and c.delete),
    ]
    return _UNIT.format(
        program=program if program.exists() else f"{sys.executable} -m haywain",
        config=path.resolve(),
        stops=f"{FencedError.exit_code} {UnauthorizedError.exit_code}",
        folder=" ".join(map(str, writable)),
    )
