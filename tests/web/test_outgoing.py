"""Bytes on their way out: cut and sent in parts without a copy, by whichever server runs."""

import pytest

from haywain.web.outgoing import LEAST_BYTES, WORD, Outgoing, outgoing, taken_by

BYTES = bytes(range(256)) * (LEAST_BYTES // 256)


def test_what_is_sent_part_by_part_comes_whole() -> None:
    buffer, sent = Outgoing(memoryview(BYTES)), bytearray()
    while len(buffer):
        part = buffer.get(1000)
        sent += part[:700]  # a socket may take less than it is given
        buffer.skip(len(part[:700]), True)
    assert sent == BYTES and not len(buffer)


def test_parts_are_not_copied() -> None:
    memory = bytearray(BYTES)
    part = Outgoing(memoryview(memory))[10:].get(2, skip=True)
    memory[10] = 99
    assert part[0] == 99


def test_what_exceeds_the_promised_length_is_cut() -> None:
    whole = Outgoing(memoryview(BYTES))
    assert whole[: len(BYTES) + 5] is whole
    assert len(whole[:7]) == 7 and bytes(whole[:7].get()) == BYTES[:7]


def test_closed_buffer_lets_go_of_its_memory() -> None:
    memory = bytearray(BYTES)
    buffer = Outgoing(memoryview(memory))
    with pytest.raises(BufferError):
        memory.clear()
    buffer.close()
    memory.clear()
    assert len(buffer) == 0


def test_small_pieces_and_other_servers_get_bytes() -> None:
    view = memoryview(BYTES)
    assert type(outgoing(view)) is Outgoing
    assert type(outgoing(view[1:])) is bytes and outgoing(BYTES) is BYTES
    assert type(taken_by({})(view)) is bytes
    assert type(taken_by({WORD: outgoing})(view)) is Outgoing
