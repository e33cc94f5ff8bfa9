"""Array: 16 TiB of which little is stored cost what is stored.  What is O(shape) here takes hours."""

import numpy as np
import pytest
from tests.store.conftest import Begin

from haywain.errors import InvalidError
from haywain.store import address_space, pagemap
from haywain.store.address_space import AddressSpace, MappingLimitError
from haywain.store.array import Array
from haywain.store.assignment import assign
from haywain.store.upkeep import fragmented, verify

ROWS = 1 << 41
PLACES = [0, 1, 12_345_678_901, ROWS // 2, ROWS - 1]
STEP = ROWS // 500

seen_whole = pytest.mark.skipif(
    pagemap.METHOD != "scan", reason="before Linux 6.7 each commit looks at every page that is seen"
)


@pytest.fixture
def array(begin: Begin, unsynced: None) -> Array:
    connection = begin()[0]
    made = connection.root()["array"] = Array(ROWS, "<f8")
    connection.add(made)
    commit(made)
    return made


def commit(array: Array) -> None:
    manager = array._p_jar.transaction_manager
    manager.commit()
    manager.begin()


def filled(array: Array) -> Array:
    for place in PLACES:
        assign(array, place, place + 1)
    commit(array)
    return array


@seen_whole
def test_all_rows_are_one_view_that_is_written_here_and_there(
    array: Array, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[int] = []
    place = AddressSpace.place_zeros
    monkeypatch.setattr(AddressSpace, "place_zeros", lambda *a: (placed.append(a[2]), place(*a)))
    view = array.view()
    assert view.shape == (ROWS,) and placed == [16 << 40]
    view[PLACES] = PLACES
    view[PLACES] += 1
    commit(array)
    for seen in (view, begin()[0].root()["array"].view()):
        assert (seen[PLACES] == np.array(PLACES) + 1).all()
        assert seen[PLACES[2] - 10**6 : PLACES[2] + 10**6].sum() == PLACES[2] + 1
        assert seen[:: ROWS // 2].sum() == 1 + ROWS // 2 + 1
    array._p_jar.transaction_manager.abort()
    assert len(placed) < 4 * len(PLACES)


@seen_whole
def test_what_was_written_in_many_blocks_is_taken_back(array: Array) -> None:
    view = filled(array).view()
    view[::STEP] = 7
    array._p_jar.transaction_manager.abort()
    array._p_jar.transaction_manager.begin()
    assert view[::STEP].sum() == 1 and view[PLACES].tolist() == [place + 1 for place in PLACES]
    array.resize(10)
    assert array.view().sum() == 3
    array._p_jar.transaction_manager.abort()
    array._p_jar.transaction_manager.begin()
    assert view[PLACES].tolist() == array.view()[PLACES].tolist() == [place + 1 for place in PLACES]


@pytest.mark.usefixtures("finding")
def test_rows_are_assigned_appended_checked_and_compacted(array: Array) -> None:
    filled(array)
    assert array.append(np.ones(10)) == ROWS and array.append(np.ones(200_000)) == ROWS + 10
    commit(array)
    for place in PLACES:
        assert array.view(place, place + 2)[0] == place + 1
    assert array.view(ROWS - 1, ROWS + 20).tolist() == [ROWS] + [1] * 20
    verify(array, 0, array.rows)
    for place in PLACES[:3]:
        assign(array, place + 5000, 1)
    commit(array)
    numbers = fragmented(array)
    assert len(numbers) == 2
    for number in numbers:
        array.compact_block(number)
    commit(array)
    assert fragmented(array) == []
    assert array.view(PLACES[2], PLACES[2] + 5001)[[0, 5000]].tolist() == [PLACES[2] + 1, 1]


@pytest.mark.usefixtures("finding")
def test_it_is_cut_and_grows_at_once(array: Array) -> None:
    filled(array).resize(PLACES[2] + 1)
    commit(array)
    assert array.view(PLACES[2])[0] == PLACES[2] + 1 and len(array.blocks) == 2
    array.resize(2 * ROWS)
    commit(array)
    assert not array.view(ROWS - 1, ROWS + 1).any()
    with pytest.raises(InvalidError, match="at most"):
        array.append(np.ones(1))


def test_its_rows_come_in_blocks_one_after_the_other(array: Array) -> None:
    blocks = array.row_blocks()
    assert [next(blocks) for _ in range(2)] == [(0, 1 << 23), (1 << 23, 1 << 24)]


@pytest.mark.usefixtures("finding")
@pytest.mark.views
def test_views_here_and_there_are_counted_as_the_pieces_they_are(
    array: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address_space, "MOST_MAPPINGS", address_space.BUDGET.used + 100)
    for number in range(40):
        assert array.view(number * STEP, number * STEP + 1)[0] == 0
    with pytest.raises(MappingLimitError):
        for number in range(40, 60):
            array.view(number * STEP, number * STEP + 1)


def test_addresses_that_are_no_more_are_told(array: Array) -> None:
    with pytest.raises(MappingLimitError, match="addresses left"):
        AddressSpace(1 << 48)
