"""The command `haywain`; each verb is a module beside this one, imported when it runs."""

import importlib
import sys
from typing import Any

import click

import haywain
from haywain.errors import HaywainError

_VERBS = {
    "serve": "Start the portal.",
    "demo": "Start the portal on sample data that came in through the ingestion URL.",
    "agent": "Send what this machine has to a portal: logs, files, what commands print, what devices offer.",
    "zeo": "Serve the database, for several portals.",
    "worker": "Run activities of a served database, in processes of their own.",
    "run": "Have a kind of work done on a document, in parts on all Workers.",
    "activities": "List what is done in the background; show, follow, cancel, retry it.",
    "policy": "Add an Ingestion Policy in one step, or list them.",
    "reindex": "Build the catalog anew from the documents.",
    "pack": "Remove history that is older than a week; a portal that serves does it by itself.",
    "backup": "Copy what is new to a backup, also while a portal serves.",
    "restore": "Make a new data directory out of a backup.",
    "verify": "Check that all bytes are as they were written, also while a portal serves.",
}


class _Verbs(click.Group):
    """Verbs by name; a module is imported only when its verb runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of their help."""
        return list(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a verb."""
        if name not in _VERBS:
            return None
        command: click.Command = importlib.import_module(f"haywain.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(haywain.__version__, prog_name="haywain")
def cli() -> None:
    """Haywain keeps endless data streams, finds them and shows them.

    Exit codes: 0 ok, 1 failed, 2 usage, 3 partly done, 69 unreachable, 75 try again, 77 not allowed,
    78 configuration.
    """


def main(arguments: list[str] | None = None) -> Any:  # Any: never returns; click's type
    """Run the command; an error that a person can act on is one line on stderr and its exit code."""
    try:
        return cli.main(arguments, prog_name="haywain")
    except HaywainError as error:
        print("haywain:", " ".join(error.detail.split()), file=sys.stderr)
        sys.exit(error.exit_code)
