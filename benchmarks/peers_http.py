"""Databases that take small bodies durably, to be measured beside ours: InfluxDB and PostgreSQL, of Debian.

Each is run on loopback with a directory of its own, and with an fsync for each commit.
"""

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import FailedError
from stream_http import free_port, running

INFLUX = """reporting-disabled = true
bind-address = "127.0.0.1:{backup}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  wal-fsync-delay = "0s"
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
[monitor]
  store-enabled = false
"""
TABLE = "CREATE TABLE bodies (data bytea); ALTER TABLE bodies ALTER data SET STORAGE EXTERNAL"


@contextmanager
def influxdb(folder: Path) -> Iterator[int]:
    """Run InfluxDB with the database `bench`; yield its port."""
    program = shutil.which("influxd")
    if program is None:
        raise FailedError("there is no influxd; apt-get install influxdb")
    port, config = free_port(), folder / "influx.conf"
    config.write_text(INFLUX.format(folder=folder / "influx", port=port, backup=free_port()))
    with running([program, "-config", str(config)], port):
        url = f"http://127.0.0.1:{port}/query?q=CREATE%20DATABASE%20bench"
        urllib.request.urlopen(urllib.request.Request(url, method="POST")).read()
        yield port


@contextmanager
def postgresql(folder: Path) -> Iterator[Path]:
    """Run PostgreSQL with the table `bodies`; yield the directory of its socket."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found or shutil.which("pgbench") is None:
        raise FailedError("there is no PostgreSQL; apt-get install postgresql")
    tools, data = found[-1].parent, folder / "postgres"
    data.mkdir()
    asked = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if asked:
        shutil.chown(data, "postgres")
        for parent in [folder, *folder.parents][:2]:
            parent.chmod(0o755)
    _run([*asked, str(tools / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"])
    port = free_port()
    options = ["-c", f"port={port}", "-k", str(data), "-c", "listen_addresses=127.0.0.1"]
    with running([*asked, str(tools / "postgres"), "-D", str(data), *options], port):
        _run(["psql", *login(data, port), "-c", TABLE])
        (data / "port").write_text(str(port))
        yield data


def login(data: Path, port: int) -> list[str]:
    """Return the options by which programs find it."""
    return ["-h", str(data), "-p", str(port), "-U", "postgres"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise FailedError(f"{command[0]}: {done.stderr.strip()[-300:]}")
