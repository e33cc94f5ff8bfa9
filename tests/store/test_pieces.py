"""Pieces: bytes in files that can become segments; what is on disk is what there is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haywain.store.pieces import Pieces


def content(pieces: Pieces) -> bytes:
    return b"".join(pieces.chunks())


@pytest.fixture
def pieces(tmp_path: Path) -> Iterator[Pieces]:
    """Pieces of 10 bytes in a folder of its own."""
    folder = tmp_path / "all" / "pieces"
    folder.mkdir(parents=True)
    made = Pieces(folder, 10)
    yield made
    made.discard()


def test_bytes_go_to_pieces_in_order(pieces: Pieces) -> None:
    pieces.append(b"0123456")
    pieces.append(b"789abcdefghijklmnop")
    assert [path.read_bytes() for path in pieces.paths()] == [b"0123456789", b"abcdefghij", b"klmnop"]
    assert pieces.size == 26


def test_bytes_are_on_disk_as_soon_as_append_returns(pieces: Pieces) -> None:
    pieces.append(b"abc")
    assert Pieces(pieces.path, 10).size == 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=35), st.booleans(), st.integers(0, 40)), max_size=8))
def test_pieces_behave_like_a_bytearray(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bytes, bool, int]]
) -> None:
    pieces, model = Pieces(tmp_path_factory.mktemp("pieces"), 10), bytearray()
    for data, reopens, cut in steps:
        pieces.append(data)
        model += data
        if reopens:
            pieces.close()
        if cut <= len(model):
            pieces.truncate(cut)
            del model[cut:]
        assert (pieces.size, content(pieces)) == (len(model), bytes(model))
    pieces.close()


def test_truncate_refuses_to_grow(pieces: Pieces) -> None:
    with pytest.raises(ValueError, match="fewer than 1"):
        pieces.truncate(1)


def test_a_piece_that_is_not_full_ends_the_bytes(pieces: Pieces) -> None:
    """As after a power cut that lost the end of a file but not the one after it."""
    pieces.append(b"x" * 25)
    pieces.close()
    os.truncate(pieces.path / "000001", 4)
    assert pieces.size == 14
    pieces.append(b"y" * 12)
    assert content(pieces) == b"x" * 14 + b"y" * 12


def test_pieces_can_be_linked_and_outlive_the_discard(pieces: Pieces, tmp_path: Path) -> None:
    pieces.append(b"x" * 12)
    pieces.fsync()
    for number, path in enumerate(pieces.paths()):
        os.link(path, tmp_path / str(number))
    pieces.discard()
    pieces.discard()
    assert not pieces.path.exists()
    assert (tmp_path / "0").read_bytes() + (tmp_path / "1").read_bytes() == b"x" * 12
    assert list(pieces.path.parent.iterdir()) == []


def test_other_files_in_the_folder_are_not_bytes(pieces: Pieces) -> None:
    pieces.append(b"x" * 12)
    os.link(pieces.path / "000000", pieces.path / "000000.note")
    assert pieces.size == 12
    pieces.truncate(0)
    assert [path.name for path in pieces.path.iterdir()] == ["000000.note"]
