"""`haywain serve`: the portal, and nothing else to start."""

import signal
import sys
from pathlib import Path
from typing import Any

import click

from haywain.app import Serving
from haywain.cli.logs import set_up_logs
from haywain.cli.options import address_options, data_options
from haywain.settings import load


@click.command("serve")
@data_options
@address_options
def command(config: Path | None, **flags: Any) -> None:  # Any: as click parsed them
    """Start the portal; when it is ready it prints its address.  SIGTERM stops it cleanly."""
    set_up_logs()
    with Serving(load(config, **flags)) as serving:
        announce(serving)
        serving.run()


def announce(serving: Serving) -> None:
    """Print the password of a first start on stderr and the address on stdout; stop on SIGTERM and Ctrl-C."""
    if serving.password:
        where = serving.site.path / "admin-password"
        print(
            f"haywain: user admin, password {serving.password} (kept in {where})", file=sys.stderr, flush=True
        )
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    print(f"haywain: serving {serving.url}", flush=True)


def _stop(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough; a second would cut the clean stop short
    raise SystemExit(0)
