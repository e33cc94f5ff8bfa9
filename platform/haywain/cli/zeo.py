"""`haywain zeo`: the database of a data directory for several processes."""

from pathlib import Path
from typing import Any

import click

from haywain.cli.logs import set_up_logs
from haywain.settings import load
from haywain.store.directory import DataDirectory
from haywain.store.zeo_server import DatabaseServer


@click.command("zeo")
@click.option("--config", type=click.Path(path_type=Path), help="An ini file with a section [haywain].")
@click.option("--data", type=click.Path(path_type=Path), help="The data directory (default: ./var).")
@click.option("--host", "zeo_host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", "zeo_port", type=int, help="Port; 0 picks a free one (default: 8100).")
@click.option("--socket", "zeo_socket", help="Path of a UNIX socket to listen on instead.")
def command(config: Path | None, **flags: Any) -> None:  # Any: as click parsed them
    """Serve the database; when it is ready it prints its address.  SIGTERM stops it cleanly.

    Who can connect can read and change everything: let nobody else reach the port.
    """
    set_up_logs()
    settings = load(config, **flags)
    directory = DataDirectory(settings.data)
    directory.open()
    try:
        server = DatabaseServer(directory.path, settings.zeo_socket or (settings.zeo_host, settings.zeo_port))
        try:
            server.run(lambda: print(f"haywain: zeo at {server.uri}", flush=True))
        finally:
            server.close()
    finally:
        directory.close()
