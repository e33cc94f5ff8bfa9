"""Measure the store beside others, and print one table of ratios.

    python benchmarks/table.py [--small] [--mib N] [--rounds N]

A figure is our speed as a multiple of the other's, by the medians of the rounds: 1.00 is as fast, more is
faster.  Bare times depend on the machine, and go to stderr as they come.  See docs/benchmarks.md.
"""

import argparse
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import arrays
import group_commit
import machine
import stream_http
from environment import ROOT
from measure import Line
from workload import MIB

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- the last run -->", "<!-- end of the last run -->"
FREE = 18
"""How many times the size of the array must be free on the disk."""


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="128 MiB: a minute or two")
    parser.add_argument("--mib", type=int, help="size of the array and of the stream (default: 2048)")
    parser.add_argument("--rounds", type=int, default=3, help="how often all is done (default: 3)")
    parser.add_argument("--peers", default=",".join(arrays.PEERS), help="default: %(default)s; may be empty")
    parser.add_argument("--python39", default="", help="a Python 3.9 for wendelin.core (default: looked for)")
    parser.add_argument("--dir", default=None, help="where the files go (default: a temporary directory)")
    parser.add_argument("--keep", action="store_true", help=f"write the table into {PAGE.name}")
    found = parser.parse_args()
    found.mib = found.mib or (128 if found.small else 2048)
    return found


def main() -> int:
    """Measure, print, and return 1 if an answer was wrong."""
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="haywain-bench-", dir=asked.dir) as name:
        free = shutil.disk_usage(name).free
        if free < FREE * asked.mib * MIB:
            raise SystemExit(f"{name} has {free // MIB} MiB free; it needs {FREE * asked.mib}")
        text, is_right = measured(asked, Path(name))
    print(text)
    if asked.keep:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0 if is_right else 1


def measured(asked: argparse.Namespace, folder: Path) -> tuple[str, bool]:
    """Measure all; return what is to be said of it, and whether all answers agree."""
    about = machine.describe(folder)
    wanted = [name for name in asked.peers.split(",") if name]
    with arrays.started(folder, asked.mib, wanted, asked.python39) as (processes, subjects):
        comparison = arrays.Comparison(processes, asked.mib, asked.rounds)
        lines = [comparison.measure(row) for row in arrays.ROWS]
        wrong = comparison.digests()
    others = [
        *group_commit.measure(folder, min(max(50 * asked.mib, 640), 12_800), asked.rounds),
        stream_http.measure(folder, asked.mib, asked.rounds),
    ]
    head = (
        f"{datetime.now(UTC):%Y-%m-%d}, {asked.mib} MiB of float32 in rows of 32 bytes, medians of "
        f"{asked.rounds} rounds, in rotating order:"
    )
    parts = [head, _items(about), _items(subjects), _arrays(lines, [*processes]), _others(others)]
    parts.append(
        _items([f"the arrays differ: {wrong}"] if wrong else ["all arrays are equal after all this"])
    )
    parts.append(_findings([*lines, *others]))
    return "\n\n".join(parts), not wrong


def _items(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _arrays(lines: list[Line], names: list[str]) -> str:
    peers = [name for name in names if name != arrays.OURS]
    rows = [["an array: our speed beside that of", *peers], ["---"] + ["--:"] * len(peers)]
    for line in lines:
        rows.append([line.title, *(_figure(line, name) for name in peers)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _figure(line: Line, name: str) -> str:
    """Return a ratio; in bold if it must be more."""
    ratio = line.ratios.get(name)
    if ratio is None:
        return "–"
    text = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
    return f"**{text}**" if ratio < line.floors.get(name, 0) else text


def _others(lines: list[Line]) -> str:
    rows = [["a stream", "beside", "our speed"], ["---", "---", "--:"]]
    rows += [[line.title, name, _figure(line, name)] for line in lines for name in line.ratios]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _findings(lines: list[Line]) -> str:
    missed = [text for line in lines for text in line.missed()]
    notes = [text for line in lines for text in line.notes]
    return _items([*(missed or ["no number is missed"]), *notes])


if __name__ == "__main__":
    raise SystemExit(main())
