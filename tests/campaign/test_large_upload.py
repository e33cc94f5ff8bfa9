"""An upload of many gigabytes, cut twice: byte for byte, in little memory, and only once on the disk."""

import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3
from tests.functional import tus
from tests.functional.program import ADMIN, Program, until

from haywain.values import GIB, MIB

CAMPAIGN_MIB = int(os.environ.get("HAYWAIN_UPLOAD_MIB", "10240"))
MEMORY_MIB = 300
OVER = 1.1

_BLOCK = os.urandom(MIB - 8)


def blocks(start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes [start, stop) of a body of which no two blocks are the same."""
    for number in range(start // MIB, -(-stop // MIB)):
        block = number.to_bytes(8, "big") + _BLOCK
        yield block[max(start - number * MIB, 0) : stop - number * MIB]


class Disk(threading.Thread):
    """Watches how many bytes the files of a directory take; hard links count once."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path, self.most, self.stopping = path, 0, threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.1):
            self.most = max(self.most, self.used())

    def used(self) -> int:
        found = {}
        for folder, _, names in os.walk(self.path):
            for name in names:
                try:
                    status = os.stat(os.path.join(folder, name))
                except FileNotFoundError:
                    continue
                found[status.st_ino] = status.st_blocks * 512
        return sum(found.values())

    def finish(self) -> int:
        self.stopping.set()
        self.join()
        return max(self.most, self.used())


def peak_memory(pid: int) -> int:
    """Return the most bytes that were resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize(
    "size_mib",
    [pytest.param(200), pytest.param(CAMPAIGN_MIB, marks=[pytest.mark.campaign, pytest.mark.timeout(1800)])],
)
def test_large_upload_takes_little_memory_and_no_second_copy(
    program: Program, report: Callable[..., None], size_mib: int
) -> None:
    size, client = size_mib * MIB + 12345, program.client()
    path = client.stream("large")
    before, disk = Disk(program.data).used(), Disk(program.data)
    disk.start()
    began = time.monotonic()
    upload = tus.create(client, path, size)
    at = 0
    for part in (1, 2):
        stop = size * part // 3 + part
        tus.patch_and_cut(program.url, upload, at, size - at, blocks(at, stop))
        until(lambda stop=stop: tus.offset(client, upload) == stop, "the bytes of a cut part", 60)  # type: ignore[misc]
        at = stop
    answer = tus.patch_stream(program.url, upload, at, size - at, blocks(at, size))
    assert answer == (204, str(size))
    sent_s = time.monotonic() - began
    assert tus.offset(client, upload) == size
    download = urllib3.request("GET", f"{program.url}/{path}/data", headers=ADMIN, preload_content=False)
    assert download.headers["Content-Length"] == str(size)
    expected = got = 0
    for block in blocks(0, size):
        expected = zlib.crc32(block, expected)
        got = zlib.crc32(download.read(len(block)), got)
    assert got == expected and not download.read(1)
    download.release_conn()
    memory, most = peak_memory(program.pid), disk.finish()
    report(
        gib=round(size / GIB, 2),
        upload_s=round(sent_s, 1),
        upload_mib_s=round(size / MIB / sent_s),
        memory_mib=memory // MIB,
        disk_over_size=round((most - before) / size, 3),
    )
    assert memory < MEMORY_MIB * MIB
    assert most - before < OVER * size
    assert program.stop() == 0
    assert disk.used() - before < OVER * size
    assert " ERROR " not in program.log and "Traceback" not in program.log, program.log
