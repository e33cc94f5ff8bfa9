"""A Stream against a `bytearray`, in two connections: writes, care, commits, conflicts, undo and pack."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from tests.store.stream_machine import StreamMachine


@pytest.mark.usefixtures("small", "unsynced")
def test_a_stream_is_a_bytearray_with_transactions() -> None:
    run_state_machine_as_test(StreamMachine, settings=settings(max_examples=25, stateful_step_count=30))


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("small", "unsynced")
def test_a_stream_is_a_bytearray_for_long() -> None:
    run_state_machine_as_test(StreamMachine, settings=settings(stateful_step_count=50))
