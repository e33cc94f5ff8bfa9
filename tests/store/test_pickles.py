"""What damaged pickles claim is found before they are loaded."""

import pickle

import pytest
from BTrees.LOBTree import LOBTree
from persistent.mapping import PersistentMapping
from ZODB.Connection import Connection
from ZODB.DB import DB
from ZODB.MappingStorage import MappingStorage

from haywain.errors import CorruptDataError
from haywain.store.chunk import Record, is_intact
from haywain.store.pickles import check_claims, references


@pytest.fixture
def connection() -> Connection:
    return DB(MappingStorage()).open()


def stored(connection: Connection, value: object) -> bytes:
    """Return the record of an object."""
    connection.root()["value"] = value
    connection.transaction_manager.commit()
    state: bytes = connection._storage.load(value._p_oid)[0]  # type: ignore[attr-defined]
    return state


def test_sound_records_claim_nothing(connection: Connection) -> None:
    tree = LOBTree({number: PersistentMapping() for number in range(60)})
    for value in (Record(bytes(range(256)) * 256), PersistentMapping({"r" * 40: "rrr\xff"}), tree):
        check_claims(stored(connection, value))
    assert len(references(stored(connection, tree))) == 60


@pytest.mark.parametrize("value", [Record(b"bytes"), PersistentMapping({"a": 1, "b": "text"})])
def test_a_flipped_bit_that_numbers_very_many_objects_is_found(connection: Connection, value: object) -> None:
    data = stored(connection, value)
    found = 0
    for at in range(len(data) - 4):
        claim = data[:at] + b"r" + data[at + 1 :]
        try:
            check_claims(claim)
        except CorruptDataError:
            found += 1
    assert found > 2


def test_a_number_in_digits_is_found() -> None:
    with pytest.raises(CorruptDataError, match="numbers 40000000 objects"):
        check_claims(b"\x80\x03Np40000000\n.")


def test_a_record_whose_state_claims_too_much_is_not_intact(connection: Connection) -> None:
    data = stored(connection, Record(b"bytes"))
    state = data.index(b"}")
    assert is_intact(data) and not is_intact(data[: state + 1] + b"r" + b"\xff" * 4 + data[state + 3 :])
    assert is_intact(b"r" + b"\xff" * 4 + data)  # perhaps of another kind


def test_a_number_that_is_no_number_is_left_to_the_unpickler() -> None:
    check_claims(pickle.dumps(None) + b"\xff" + b"r" + b"\xff" * 4)
    check_claims(b"S'\\B'\nr" + b"\xff" * 4)
