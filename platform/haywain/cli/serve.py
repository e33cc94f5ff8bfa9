"""`haywain serve`: the portal, and nothing else to start."""

import signal
import sys
from collections.abc import Callable
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
@click.option("--workers", type=int, help="Threads that run activities (default: 2); 0 leaves all to others.")
@click.option("--broker", metavar="URL", help="What wakes `haywain worker`: redis://HOST:PORT.")
@click.option("--queues", metavar="A,B", help="Run activities of these queues only (default: of all).")
def command(config: Path | None, **flags: Any) -> None:  # Any: as click parsed them
    """Start the portal; when it is ready it prints its address.  SIGTERM stops it cleanly."""
    set_up_logs()
    with Serving(load(config, **flags)) as serving:
        announce(serving, serving.server.stop)
        serving.run()


def announce(serving: Serving, stop: Callable[[], None]) -> None:
    """Print the password of a first start on stderr and the address on stdout.

    From then on SIGTERM or Ctrl-C calls `stop`, in the main thread, wherever that is: it must not raise, as
    threads that are half started could not be ended.  Another Ctrl-C leaves at once.
    """
    if serving.password:
        where = serving.site.path / "admin-password"
        print(
            f"haywain: user admin, password {serving.password} (kept in {where})", file=sys.stderr, flush=True
        )

    def handle(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would cut the clean stop short
        signal.signal(signal.SIGINT, lambda number, frame: leave())
        stop()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    print(f"haywain: serving {serving.url}", flush=True)


def leave() -> None:
    """Have the main loop end: the server takes it for the wish to stop."""
    raise SystemExit(0)
