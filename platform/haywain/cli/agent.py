"""`haywain agent`: sends what this machine has to a portal, each byte once."""

import json
import signal
import sys
from pathlib import Path

import click

from haywain.agent.config import AgentConfig, load_config
from haywain.agent.memory import be_lean
from haywain.agent.running import Agent
from haywain.agent.status import lines_of, read_status
from haywain.agent.unit import unit_of
from haywain.cli.logs import set_up_logs
from haywain.errors import AgentConfigurationError, HaywainError, InvalidError, TemporaryError

NOT_RUNNING = 1


@click.command("agent")
@click.option(
    "--config", type=click.Path(path_type=Path), required=True, help="A TOML file; see docs/agent.md."
)
@click.option("--once", is_flag=True, help="Read what there is, deliver it and end; 75 if not all could be.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="With --once: seconds to try while the portal takes nothing.",
)
@click.option("--dry-run", is_flag=True, help="Check the configuration and say what would be read and sent.")
@click.option("--status", is_flag=True, help="Say how the agent with this configuration is.")
@click.option("--json", "as_json", is_flag=True, help="With --status: print JSON.")
@click.option("--systemd", is_flag=True, help="Print a unit that runs this agent.")
def command(
    config: Path, once: bool, wait_s: float, dry_run: bool, status: bool, as_json: bool, systemd: bool
) -> None:
    """Send what this machine has to a portal: nothing lost, nothing twice.

    SIGTERM stops it cleanly; what could not be sent waits in the spool for the next start.
    """
    loaded = load_config(config)
    if status:
        sys.exit(_tell_status(loaded, as_json))
    if systemd:
        click.echo(unit_of(loaded, config), nl=False)
    elif dry_run:
        _tell_plan(loaded, config)
    else:
        sys.exit(_run(loaded, once, wait_s))


def _run(config: AgentConfig, once: bool, wait_s: float) -> int:
    be_lean()
    set_up_logs()
    for source in config.sources:
        try:
            source.cls.describe(source.config)
        except InvalidError as error:
            print(f"haywain: source {source.name}: {error}", file=sys.stderr)
    try:
        agent = Agent(config, is_once=once, give_up_s=wait_s)
    except OSError as error:
        raise TemporaryError(
            f"The spool {config.folder} cannot be used: {error.strerror or error}"
        ) from error
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: agent.stop())
    print(f"haywain: agent sends to {config.url}", flush=True)
    return agent.run()


def _tell_plan(config: AgentConfig, path: Path) -> None:
    """Say what would be done; raise AgentConfigurationError if something cannot be."""
    click.echo(f"to {config.url}, by the policy {config.portal.policy}; nothing is connected to now")
    click.echo(f"spool {config.folder}, at most {config.spool_bytes} bytes")
    wrong = []
    for name, cls, source in config.sources:
        try:
            what = cls.describe(source)
        except HaywainError as error:
            wrong.append(f"sources.{name}: {error}")
            continue
        by = "" if source.policy == config.portal.policy else f" by the policy {source.policy}"
        click.echo(f"{name} ({source.type}): {what}; as {source.tag}{by}")
    if wrong:
        raise AgentConfigurationError(f"{path}: {'; '.join(wrong)}")


def _tell_status(config: AgentConfig, as_json: bool) -> int:
    found = read_status(config.folder)
    if not found:
        raise AgentConfigurationError(f"No agent has run on the spool {config.folder} yet")
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else "\n".join(lines_of(found)))
    return 0 if found["running"] else NOT_RUNNING
