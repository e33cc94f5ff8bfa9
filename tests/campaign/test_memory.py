"""An array larger than memory: summed, and every page of it changed, within a memory cgroup."""

import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from tests.campaign.cgroup import memory_group
from tests.campaign.test_large_upload import peak_memory
from tests.functional.program import ADMIN, Program, until

import haywain
from haywain.values import MIB

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("limit_mib", "array_mib"),
    [
        pytest.param(256, 320, id="small"),
        pytest.param(768, 4096, marks=[pytest.mark.campaign, pytest.mark.timeout(1800)], id="4 GB in 768 MB"),
        pytest.param(500, 8192, marks=[pytest.mark.campaign, pytest.mark.timeout(1800)], id="8 GB in 500 MB"),
    ],
)
def test_every_page_is_read_and_changed_in_less_memory(
    report: Callable[..., None], capsys: pytest.CaptureFixture[str], limit_mib: int, array_mib: int
) -> None:
    """Where no cgroup can be made, the memory that cannot be taken from the process is still counted."""
    with (
        tempfile.TemporaryDirectory(prefix="haywain-memory-") as folder,
        memory_group(limit_mib * MIB) as group,
    ):
        if group is None:
            with capsys.disabled():
                print("\nno memory cgroup can be made without root: the memory is counted, not limited")
        command = [sys.executable, "-m", "tests.campaign.large_array", f"{folder}/var", str(array_mib)]
        done = subprocess.run(
            [*command, *([str(group)] if group is not None else [])],
            cwd=ROOT, capture_output=True, text=True, timeout=1700,
        )  # fmt: skip
    assert done.returncode == 0, f"code {done.returncode} (-9 is out of memory): {done.stderr}"
    private_mib = int(done.stdout)
    assert private_mib < limit_mib
    report(array_mib=array_mib, limit_mib=limit_mib, private_mib=private_mib, is_limited=group is not None)


PIECE_MIB, COLUMNS = 32, 8


def made(data: Path, mib: int) -> tuple[str, dict[str, int]]:
    """Make an array of so many MiB; return its path, and checksums: what slices of it and others send."""
    whole = column = some = 0
    with haywain.open(str(data)) as portal:
        array: Any = portal.new("Data Array", reference="large")  # Any: one kind of document
        array.create(shape=(0, COLUMNS), dtype="<f4")
        for number in range(mib // PIECE_MIB):
            rows = np.full((PIECE_MIB * MIB // COLUMNS // 4, COLUMNS), number, "<f4")
            array.append(rows)
            whole, column = zlib.crc32(rows, whole), zlib.crc32(rows[:, 0].copy(), column)
            some = zlib.crc32(rows[::32, 0].copy(), some)
            portal.commit()
        lines = [portal.new("Data Array Line", array=array.path, index=index) for index in (":", ":, 0")]
        named = portal.new(
            "Data Array Line", array=array.path, index=":, 1", columns=({"name": "b"},), reference="b"
        )
        both = portal.new("Data Array View", sources=(lines[1].path, named.path), reference="both")
        portal.commit()
        return array.path, {
            f"{array.path}/slice?index=:": whole,
            f"{array.path}/slice?index=:,0": column,
            f"{array.path}/slice?index=::32,0": some,
            f"{array.path}/slice?between=0,0,": whole,
            f"{lines[0].path}/slice": whole,
            f"{lines[1].path}/slice": column,
            f"{both.path}/slice?field=b": column,
        }


@pytest.mark.parametrize(
    ("limit_mib", "array_mib"),
    [
        pytest.param(400, 512, id="small", marks=pytest.mark.timeout(120)),
        pytest.param(500, 8192, marks=[pytest.mark.campaign, pytest.mark.timeout(1800)], id="8 GB in 500 MB"),
    ],
)
def test_a_server_scans_and_sends_an_array_in_less_memory(
    report: Callable[..., None], tmp_path: Path, limit_mib: int, array_mib: int
) -> None:
    with Program(tmp_path / "var") as program:
        assert program.stop() == 0
    path, checksums = made(program.data, array_mib)
    with memory_group(limit_mib * MIB) as group, program:
        if group is not None:
            group.write_text(str(program.pid))
        client = program.client()
        body = json.dumps({"method": "statistics", "parameters": {}}).encode()
        answer = client("POST", f"/{path}/activities", body, {"Content-Type": "application/json"})
        assert answer.status == 202, answer.body
        url = answer.json["url"]
        found = until(lambda: _ended(client("GET", url).json), "the statistics", 900)
        assert found["state"] == "done", found
        mean = found["result"]["columns"][0]["mean"]
        assert abs(mean - (array_mib // PIECE_MIB - 1) / 2) < 1e-6 * array_mib
        client.close()
        for address, checksum in checksums.items():
            assert checksum_of("HEAD", f"{program.url}/{address}") == 0
            assert checksum_of("GET", f"{program.url}/{address}") == checksum, address
            assert peak_memory(program.pid) < limit_mib * MIB, address
        memory_mib = peak_memory(program.pid) // MIB
        assert program.stop() == 0
    report(array_mib=array_mib, limit_mib=limit_mib, resident_mib=memory_mib, is_limited=group is not None)


def checksum_of(method: str, url: str) -> int:
    """Return the checksum of what a slice sends behind the head of the npy format."""
    with urllib3.request(method, url, headers=ADMIN, preload_content=False) as answer:
        assert answer.status == 200 and answer.read(128).startswith(b"\x93NUMPY"[: 6 * (method == "GET")])
        got = 0
        while piece := answer.read(MIB):
            got = zlib.crc32(piece, got)
        return got


def _ended(activity: Any) -> Any:
    return activity if activity["state"] in ("done", "failed") else None
