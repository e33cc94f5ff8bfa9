"""What the figures were measured on: processor, kernel, file system, and what its disk does."""

import os
import platform
import statistics
import time
from pathlib import Path

import cold
import psutil
from workload import MIB

FILE, TIMES = 256 * MIB, 3
FSYNCS = 200


def describe(folder: Path) -> list[str]:
    """Return lines about the machine, and the disk under a folder."""
    written, read = disk(folder)
    memory = psutil.virtual_memory().total / (1 << 30)
    return [
        f"{os.cpu_count()} processors {processor()}, {memory:.0f} GiB memory, "
        f"load {os.getloadavg()[0]:.1f} at the start",
        f"Linux {platform.release()}, Python {platform.python_version()}, {file_system(folder)}",
        f"disk: write and fsync {written:.2f} GB/s, cold read {read:.2f} GB/s, "
        f"append of 4 KiB and fsync {fsync_ms(folder):.2f} ms",
    ]


def processor() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def file_system(folder: Path) -> str:
    """Return the type and options of the file system of a folder."""
    found = folder.resolve()
    mounts = [mount for mount in psutil.disk_partitions(all=True) if found.is_relative_to(mount.mountpoint)]
    last = max(mounts, key=lambda mount: len(mount.mountpoint))
    return f"{last.fstype} ({last.opts})"


def disk(folder: Path) -> tuple[float, float]:
    """Return the medians of bytes a nanosecond written with fsync, and read cold, of one file."""
    path, data = folder / "disk", os.urandom(16 * MIB)
    written, read = [], []
    for _ in range(TIMES):
        began = time.perf_counter()
        with open(path, "wb", buffering=0) as file:
            for _ in range(FILE // len(data)):
                file.write(data)
            os.fsync(file.fileno())
        written.append(time.perf_counter() - began)
        cold.drop([path])
        began = time.perf_counter()
        with open(path, "rb", buffering=0) as file:
            while file.read(MIB):
                pass
        read.append(time.perf_counter() - began)
        path.unlink()
    return FILE / statistics.median(written) / 1e9, FILE / statistics.median(read) / 1e9


def fsync_ms(folder: Path) -> float:
    """Return the median of what it takes to append 4 KiB durably."""
    path, times = folder / "fsync", []
    with open(path, "wb", buffering=0) as file:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(times) * 1000
