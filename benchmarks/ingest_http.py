"""Measure how fast 64 clients store bodies of 8 KB over HTTP, durably, beside others.

    python benchmarks/ingest_http.py [--seconds N] [--rounds N]

wrk (Debian) sends on 64 connections, one request in flight on each, every one with an Idempotency-Key of its
own; PostgreSQL is asked by pgbench with as many.  A figure is our speed as a multiple of the other's.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import group_commit
from measure import FailedError, Line, in_turns
from peers_http import influxdb, login, postgresql
from stream_http import PASSWORD, free_port, running

CONNECTIONS, SIZE, LINES = 64, 8192, 138
OURS, ALONE, RAW = "Haywain", "one transaction each", group_commit.RAW
INFLUX, POSTGRES = "InfluxDB /write", "PostgreSQL INSERT"
FLOORS = {ALONE: 10.0, INFLUX: 1.0, POSTGRES: 0.5}
HERE = Path(__file__).resolve().parent
WRK = """
local threads = 0
{prelude}
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function init(args) sent = 0 end
function request()
  sent = sent + 1
  local headers = {{["Authorization"] = "{login}", ["Content-Type"] = "application/octet-stream"}}
  headers["Idempotency-Key"] = "{run}-" .. id .. "-" .. sent
  return wrk.format("POST", "{path}", headers, {body})
end
"""
OURS_BODY = f"local body = string.rep('x', {SIZE - 1}) .. '\\n'"
INGEST = "/portal_ingestion_policies/default/ingest?reference=bench"


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=8, help="how long each sends (default: 8)")
    parser.add_argument("--rounds", type=int, default=3, help="how often (default: 3)")
    return parser.parse_args()


def main() -> None:
    """Measure and print the table."""
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="haywain-bench-") as name:
        line = measure(Path(name), asked.seconds, asked.rounds)
    print(f"| {line.title} beside | our speed |\n| --- | --: |")
    for peer, ratio in line.ratios.items():
        print(f"| {peer} | {ratio:.2f} |")
    print("".join(f"\n- {note}" for note in [*line.notes, *line.missed()]))


def measure(folder: Path, seconds: int, rounds: int) -> Line:
    """Start all, let each take bodies for some seconds, in turns."""
    line = Line("8 KB over HTTP from 64 connections", FLOORS)
    if shutil.which("wrk") is None:
        raise FailedError("there is no wrk; apt-get install wrk")
    with ExitStack() as started:
        works: dict[str, Callable[[int], float]] = {
            RAW: lambda number: _seconds_of(lambda: group_commit.raw(folder / "raw", 12_800), 12_800)
        }
        for name, script in ((OURS, ["-m", "haywain"]), (ALONE, [str(HERE / "alone.py")])):
            port = started.enter_context(_haywain(folder / name.replace(" ", "-"), script))
            works[name] = _wrk(folder, port, INGEST, OURS_BODY, "body", seconds, _token(port))
        for name, begin in ((INFLUX, _influx), (POSTGRES, _postgres)):
            try:
                works[name] = begin(started, folder, seconds)
            except FailedError as error:
                line.notes.append(f"{name}: left out, {error}")
        line.compare(in_turns(works, rounds, line), OURS)
    return line


@contextmanager
def _haywain(data: Path, script: list[str]) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, *script, "serve", "--data", str(data), "--port", str(port)]
    with running(command, port, HAYWAIN_ADMIN_PASSWORD=PASSWORD):
        yield port


def _token(port: int) -> str:
    """Make a token, as agents have one; return the header."""
    made = {"portal_type": "Token", "login": "admin", "scopes": ["ingest:default"]}
    login = "Basic " + b64encode(f"admin:{PASSWORD}".encode()).decode()
    headers = {"Authorization": login, "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{port}/token_module"
    with urlopen(Request(url, json.dumps(made).encode(), headers)) as answer:
        return f"Bearer {json.load(answer)['secret']}"


def _influx(started: ExitStack, folder: Path, seconds: int) -> Callable[[int], float]:
    port = started.enter_context(influxdb(folder))
    line = "'load,host=' .. id .. ' value=' .. n .. ',free=17.250000,total=23.500000 '"
    at = "string.format('%.0f', 1.7e15 + sent * 138 + n)"
    prelude = (
        f"local function lines() local t = {{}} for n = 1, {LINES} do t[n] = {line} .. {at} .. '\\n' end"
    )
    path = "/write?db=bench&precision=u"
    return _wrk(folder, port, path, f"{prelude} return table.concat(t) end", "lines()", seconds)


def _postgres(started: ExitStack, folder: Path, seconds: int) -> Callable[[int], float]:
    data = started.enter_context(postgresql(folder))
    script = folder / "insert.sql"
    script.write_text(f"INSERT INTO bodies VALUES ('\\x{os.urandom(SIZE).hex()}');\n")  # noqa: S608  # hexadecimal digits
    options = ["-n", "-c", str(CONNECTIONS), "-j", "2", "-T", str(seconds), "-f", str(script)]
    command = ["pgbench", *login(data, int((data / "port").read_text())), *options, "postgres"]

    def work(number: int) -> float:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return 1 / float(_found(r"tps = ([\d.]+)", told))

    return work


def _wrk(
    folder: Path, port: int, path: str, prelude: str, body: str, seconds: int, login: str = ""
) -> Callable[[int], float]:
    """Return a work that sends for some seconds and tells those of one request."""

    def work(number: int) -> float:
        script = folder / f"{port}.lua"
        run = time.time_ns()
        script.write_text(WRK.format(prelude=prelude, body=body, login=login, path=path, run=run))
        url = f"http://127.0.0.1:{port}"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["-s", str(script), url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if "Non-2xx" in told or "Socket errors" in told:
            raise FailedError(told.strip().replace("\n", "; ")[-300:])
        return 1 / float(_found(r"Requests/sec:\s+([\d.]+)", told))

    return work


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise FailedError(text[-300:])
    return found[1]


def _seconds_of(work: Callable[[], None], count: int) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / count


if __name__ == "__main__":
    main()
