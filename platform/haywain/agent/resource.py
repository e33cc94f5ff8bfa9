"""The resource consumption of this machine, as records of the form that fluentd sends.

A record on the wire is the msgpack array `[time, record]`.  The time is fluentd's EventTime: extension type 0
holding seconds and nanoseconds as big-endian uint32.  Records simply follow one another, so that chunks can
be appended to each other.
"""

from struct import Struct

import psutil
from msgspec.msgpack import Encoder, Ext

Sample = dict[str, float | int]
"""One flat record; counters such as `disk_read_bytes` count since the machine started."""

EVENT_TIME_EXT = 0
EVENT_TIME = Struct(">II")
NS_PER_S = 1_000_000_000

_encoder = Encoder()


def sample() -> Sample:
    """Return what the machine uses now; keys end with their unit.

    `cpu_percent` is the mean over all processors since the calling thread's call before: a thread's first
    call may find 0.0.  Counters of a kind that the machine does not have are left out.
    """
    return {**_processor(), **_memory(), **_disk(), **_network()}


def encode(time_ns: int, record: Sample) -> bytes:
    """Return one record as msgpack `[time, record]`; the time is in ns since 1970 UTC.

    Raises ValueError if the time does not fit EventTime, from 2106 on.

    >>> encode(1_500_000_000, {"load_1": 0.5}).hex(" ")
    '92 d7 00 00 00 00 01 1d cd 65 00 81 a6 6c 6f 61 64 5f 31 cb 3f e0 00 00 00 00 00 00'
    """
    seconds, nanoseconds = divmod(time_ns, NS_PER_S)
    if not 0 <= seconds < 1 << 32:
        raise ValueError(f"EventTime holds 1970 to 2106, not {seconds} s")
    time = Ext(EVENT_TIME_EXT, EVENT_TIME.pack(seconds, nanoseconds))
    return _encoder.encode([time, record])


def _processor() -> Sample:
    load_1, load_5, load_15 = psutil.getloadavg()
    return {
        "cpu_percent": psutil.cpu_percent(),
        "cpu_count": psutil.cpu_count() or 1,
        "load_1": load_1,
        "load_5": load_5,
        "load_15": load_15,
        "process_count": len(psutil.pids()),
    }


def _memory() -> Sample:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "memory_total_bytes": memory.total,
        "memory_used_bytes": memory.used,
        "memory_available_bytes": memory.available,
        "swap_used_bytes": swap.used,
    }


def _disk() -> Sample:
    counters = psutil.disk_io_counters()
    if counters is None:  # a container without sight of its disks
        return {}
    return {"disk_read_bytes": counters.read_bytes, "disk_written_bytes": counters.write_bytes}


def _network() -> Sample:
    counters = psutil.net_io_counters()
    if counters is None:
        return {}
    return {"network_received_bytes": counters.bytes_recv, "network_sent_bytes": counters.bytes_sent}
