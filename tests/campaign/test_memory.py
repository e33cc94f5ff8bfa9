"""An array larger than memory: summed, and every page of it changed, within a memory cgroup."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.campaign.cgroup import memory_group

from haywain.values import MIB

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("limit_mib", "array_mib"),
    [
        pytest.param(256, 320, id="small"),
        pytest.param(768, 4096, marks=[pytest.mark.campaign, pytest.mark.timeout(1800)], id="4 GB in 768 MB"),
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
