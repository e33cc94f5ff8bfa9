"""Chains: both ends say the same, and nothing comes before itself."""

from typing import Any

import pytest

from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal import Portal, Site


def new(portal: Portal, reference: str, **ends: Document) -> Document:
    return portal.new("Data Stream", reference=reference, **{name: one.path for name, one in ends.items()})


def names(documents: list[Document]) -> str:
    return " ".join(document.reference for document in documents)


@pytest.fixture
def chain(portal: Portal) -> list[Any]:
    """Four streams, each the successor of the one before, and one by itself."""
    a = new(portal, "a")
    b = new(portal, "b", predecessor=a)
    d = new(portal, "d")
    c = new(portal, "c", predecessor=b, successor=d)
    return [a, b, c, d, new(portal, "lone")]


def test_both_ends_say_it(chain: list[Any]) -> None:
    a, b, c, d, _ = chain
    assert (a.properties.successor, b.properties.predecessor) == (b.path, a.path)
    assert b.categories == (("predecessor", a.path), ("successor", c.path))
    assert [names(one.predecessors()) for one in (a, b, c, d)] == ["", "a", "b a", "c b a"]
    assert [names(one.successors()) for one in (a, b, c, d)] == ["b c d", "c d", "d", ""]


def test_a_new_end_takes_the_place_of_the_old_one(chain: list[Any]) -> None:
    a, b, c, d, lone = chain
    c.edit(predecessor=lone.path)
    assert (names(d.predecessors()), names(a.successors()), names(lone.successors())) == (
        "c lone",
        "b",
        "c d",
    )
    assert b.categories == (("predecessor", a.path),)
    c.edit(predecessor="", successor="")
    assert c.categories == lone.categories == d.categories == ()


def test_other_categories_and_properties_stay(chain: list[Any]) -> None:
    a, b, *_, lone = chain
    b.link("resource", lone)
    a.edit(successor="", title="kept")
    assert b.categories[0] == ("resource", lone.path) and ("predecessor", a.path) not in b.categories
    assert b.properties.predecessor == "" and a.title == "kept"


@pytest.mark.parametrize(
    ("which", "ends", "message"),
    [
        (0, {"predecessor": 0}, "has .* for its successor"),
        (4, {"predecessor": 4}, "behind"),
        (3, {"successor": 3}, "has .* for its predecessor"),
        (4, {"successor": 4}, "behind"),
        (0, {"predecessor": 3}, "behind"),
        (3, {"successor": 0}, "behind"),
        (4, {"predecessor": 0}, "for its successor"),
        (4, {"successor": 1}, "for its predecessor"),
        (4, {"predecessor": 3, "successor": 0}, "behind"),
    ],
    ids=range(9),
)
def test_what_makes_no_chain_is_refused_and_changes_nothing(
    chain: list[Any], which: int, ends: dict[str, int], message: str
) -> None:
    before = [document.as_dict() for document in chain]
    with pytest.raises(InvalidError, match=message):
        chain[which].edit(**{name: chain[number].path for name, number in ends.items()})
    assert [document.as_dict() for document in chain] == before


def test_a_chain_may_be_turned_round_at_once(portal: Portal) -> None:
    a = new(portal, "a")
    b = new(portal, "b", predecessor=a)
    a.edit(predecessor=b.path, successor="")
    assert names(a.predecessors()) == "b" and not a.successors() and not b.predecessors()


@pytest.mark.parametrize("path", ["nowhere/x", "data_stream_module/none", "person_module/admin", "x"])
def test_a_neighbour_that_is_no_stream_is_refused(portal: Portal, path: str) -> None:
    with pytest.raises(InvalidError, match="predecessor: there is no Data Stream"):
        portal.new("Data Stream", predecessor=path)
    assert portal.catalog(portal_type="Data Stream").count() == 0


def test_a_neighbour_that_is_deleted_is_no_more(portal: Portal, chain: list[Any]) -> None:
    _, b, c, d, lone = chain
    portal.delete(b)
    assert names(c.predecessors()) == "" and names(d.predecessors()) == "c"
    c.edit(title="still editable")
    c.edit(predecessor=lone.path)
    assert names(d.predecessors()) == "c lone"


def test_a_circle_that_two_transactions_closed_ends_where_it_began(site: Site) -> None:
    def make(portal: Portal) -> list[str]:
        a, c = new(portal, "a"), new(portal, "c")
        return [a.path, new(portal, "b", predecessor=a).path, c.path, new(portal, "d", predecessor=c).path]

    a, b, c, d = site.transact(make)[0]
    with site.open() as one, site.open() as other:
        one[c].edit(predecessor=b)
        other[a].edit(predecessor=d)
        one.commit()
        other.commit()
    with site.open() as portal:
        assert names(portal[a].predecessors()) == "d c b"
        assert names(portal[a].successors()) == "b c d"
        portal[a].edit(predecessor="")
        assert names(portal[d].predecessors()) == "c b a"
    site.transact(lambda portal: [portal.delete(portal[path]) for path in (a, b, c, d)])
