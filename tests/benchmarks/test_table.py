"""The benchmark: one small run without the peers that would have to be installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = (
    "create",
    "scan, cold",
    "scan, warm",
    "mean of a column, warm",
    "1,000 slices of 1,000 rows, cold",
    "the same, warm",
    "overwrite 1 %, contiguous",
    "the same, a raw file beside it: into a new file",
    "overwrite 1 %, scattered by 4 KiB",
    "scan after that, warm",
    "append 1 MiB, each durable",
    "append 4 KiB, durable by 64",
)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run of 8 MiB and one round prints."""
    folder = tmp_path_factory.mktemp("files")
    command = [sys.executable, "benchmarks/table.py", "--mib", "8", "--rounds", "1", "--peers", ""]
    done = subprocess.run([*command, "--dir", str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    assert not list(folder.iterdir())
    return done.stdout


def cells(printed: str, title: str) -> list[str]:
    """Return the figures of a row of the table."""
    (line,) = [line for line in printed.splitlines() if line.startswith(f"| {title} |")]
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


@pytest.mark.timeout(300)
def test_each_row_has_a_ratio_to_a_raw_file(printed: str) -> None:
    for title in ROWS:
        assert re.fullmatch(r"(\*\*)?\d+(\.\d+)?(\*\*)?", cells(printed, title)[1]), title


@pytest.mark.timeout(300)
def test_all_arrays_are_equal_in_the_end(printed: str) -> None:
    assert "all arrays are equal after all this" in printed
    assert "another answer" not in printed


@pytest.mark.timeout(300)
def test_who_was_left_out_is_named(printed: str) -> None:
    for peer in ("zarr", "h5py", "TileDB", "wendelin.core"):
        assert f"- {peer}: left out: not asked for" in printed


@pytest.mark.timeout(300)
def test_the_machine_is_described(printed: str) -> None:
    assert re.search(r"\d+ processors .* GiB memory", printed)
    assert re.search(r"write and fsync [\d.]+ GB/s, cold read [\d.]+ GB/s", printed)


@pytest.mark.timeout(300)
def test_cold_rows_are_cold(printed: str) -> None:
    assert "not cold" not in printed
