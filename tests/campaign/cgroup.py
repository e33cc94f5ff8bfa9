"""A memory cgroup for a process: version 1 or 2, where root may make one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path | None]:
    """Yield the file into which a process writes its id to be limited; None where that cannot be."""
    is_old = (ROOT / "memory" / "memory.limit_in_bytes").exists()
    group = (ROOT / "memory" if is_old else ROOT) / f"haywain-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        if is_old:
            (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
        else:
            (group / "memory.max").write_text(str(limit_bytes))
            (group / "memory.swap.max").write_text("0")
    except OSError:
        group.rmdir()
        yield None
        return
    try:
        yield group / "cgroup.procs"
    finally:
        group.rmdir()
