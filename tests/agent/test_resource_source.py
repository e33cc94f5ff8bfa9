"""The resource consumption of this machine, by the agent."""

import msgspec
from tests.agent.conftest import Setup
from tests.agent.numbered import NumberedListener
from tests.functional.program import until

from haywain.agent.template import host

SOURCE = 'machine]\ntype = "resource"\ninterval_s = 0.01\nrecords = 3'


def records(data: bytes) -> list:
    unpacked, rest = [], memoryview(data)
    for count in range(1, 1000):
        try:
            return list(msgspec.msgpack.decode(b"\xdc" + count.to_bytes(2, "big") + rest))
        except msgspec.DecodeError:
            continue
    return unpacked


def test_records_arrive_in_chunks(setup: Setup, listener: NumberedListener) -> None:
    running = setup.start(SOURCE)
    until(lambda: len(listener.requests) > 2, "some chunks")
    running.stop()
    assert {sent.tag for sent in listener.requests} == {f"{host()}.resource"}
    first = records(listener.requests[0].body)
    assert len(first) == 3
    assert all(record["memory_total_bytes"] > 0 for _, record in first)


def test_once_sends_one_record(setup: Setup, listener: NumberedListener) -> None:
    assert setup.once(SOURCE) == 0
    assert len(records(listener.requests[0].body)) == 1
