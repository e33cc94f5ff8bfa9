"""Process: the name under which a process claims, by which another one on its machine sees that it is gone.

    turbine-4711:9f86d081884c:532211:5feceb66

that is the host and the process id, for people; where that id counts (the machine since it was booted, and
the namespace of process ids there), hashed; when the process was started, since another one may get its id
later; and random digits.  Names of before have two parts less: of these nobody can tell.
"""

import os
import re
import secrets
import socket
from hashlib import sha256
from pathlib import Path

_NAME = re.compile(r"(?P<shown>[^:]*-(?P<pid>\d+)):(?P<machine>[0-9a-f]{12}):(?P<started>\d+):[0-9a-f]+")


def process_name() -> str:
    """Return a name for this process that no other one has had."""
    number, random = os.getpid(), secrets.token_hex(4)
    started = _started(number)
    if not machine() or started is None:
        return f"{socket.gethostname()}-{number}-{random}"
    return f"{socket.gethostname()}-{number}:{machine()}:{started}:{random}"


def shown(name: str) -> str:
    """Return what people read of the name of a process.

    >>> shown("turbine-4711:9f86d081884c:532211:5feceb66"), shown("turbine-4711-5feceb66")
    ('turbine-4711', 'turbine-4711-5feceb66')
    """
    return name.partition(":")[0]


def machine_of(name: str) -> str:
    """Return the machine of a process by its name; "" for one that does not say."""
    found = _NAME.fullmatch(name)
    return found["machine"] if found else ""


def machine() -> str:
    """Return what stands for this machine, as long as it runs, and this namespace of process ids.

    "" where the system does not tell, and nobody's death can be seen.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = os.readlink("/proc/self/ns/pid")
        is_ours = os.readlink("/proc/self") == str(os.getpid())  # not another namespace's /proc
    except OSError:
        return ""
    return sha256(f"{boot} {space}".encode()).hexdigest()[:12] if is_ours else ""


def is_dead(name: str) -> bool:
    """Return whether the process of a name is certainly gone: it was on this machine, and is not there."""
    found = _NAME.fullmatch(name)
    if found is None or found["machine"] != machine():
        return False
    number = int(found["pid"])
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # another user's
    started = _started(number)
    return started is not None and started != int(found["started"])


def _started(number: int) -> int | None:
    """Return when a process was started, in ticks since the boot; -1 if it has ended, None if hidden."""
    try:
        line = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = line.rpartition(")")[2].split()  # the name before may hold anything
    return -1 if fields[0] in ("Z", "X") else int(fields[19])
