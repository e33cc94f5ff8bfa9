"""This machine's resource consumption as records."""

import time

import msgspec
import psutil
import pytest

from haywain.agent import resource

BYTES_KEYS = [
    "memory_total_bytes", "memory_used_bytes", "memory_available_bytes", "swap_used_bytes",
    "disk_read_bytes", "disk_written_bytes", "network_received_bytes", "network_sent_bytes",
]  # fmt: skip


def decode(body):
    """Read `body` as one msgpack value, with fluentd's EventTime as (seconds, nanoseconds)."""

    def event_time(code, data):
        assert (code, len(data)) == (0, 8)
        return int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big")

    return msgspec.msgpack.decode(body, ext_hook=event_time)


def test_encode_makes_a_pair_of_event_time_and_record():
    record = {"cpu_percent": 12.5, "memory_used_bytes": 2**40}
    assert decode(resource.encode(1_700_000_000_123_456_789, record)) == [
        (1_700_000_000, 123_456_789),
        record,
    ]


def test_encoded_event_time_is_fixext_8_of_type_0():
    body = resource.encode(1_000_000_001, {})
    assert body == bytes.fromhex("92 d7 00 00000001 00000001 80")


def test_encoded_records_follow_one_another():
    body = resource.encode(1, {"load_1": 0.5}) + resource.encode(2, {"load_1": 1.5})
    pair = decode(b"\x92" + body)  # as an array of two
    assert pair == [[(0, 1), {"load_1": 0.5}], [(0, 2), {"load_1": 1.5}]]


@pytest.mark.parametrize("time_ns", [-1, 2**32 * 10**9], ids=["before-1970", "after-2106"])
def test_encode_refuses_a_time_that_event_time_cannot_hold(time_ns):
    with pytest.raises(ValueError, match="EventTime"):
        resource.encode(time_ns, {})


def test_sample_is_flat_and_survives_encoding():
    record = resource.sample()
    assert all(type(value) in (int, float) for value in record.values())
    assert decode(resource.encode(time.time_ns(), record))[1] == record


def test_sample_measures_this_machine():
    record = resource.sample()
    assert record["memory_total_bytes"] == psutil.virtual_memory().total
    assert 0 < record["memory_available_bytes"] <= record["memory_total_bytes"]
    assert record["process_count"] >= 1
    assert record["load_1"] >= 0
    assert record["cpu_percent"] >= 0


def test_sample_counts_bytes_as_integers():
    record = resource.sample()
    assert all(isinstance(record[key], int) and record[key] >= 0 for key in BYTES_KEYS if key in record)
    assert {"memory_used_bytes", "swap_used_bytes"} <= record.keys()


def test_cpu_percent_sees_work_done_since_the_call_before():
    resource.sample()
    end_s = time.process_time() + 0.1
    while time.process_time() < end_s:
        pass
    assert resource.sample()["cpu_percent"] > 0
