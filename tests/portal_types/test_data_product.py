"""Data Product: several may have one reference, and each is found by it."""

from haywain.portal import Portal


def test_all_of_a_reference_are_found(portal: Portal) -> None:
    first, second = (portal.new("Data Product", reference="wind/%") for _ in range(2))
    portal.new("Data Product", reference="wind/%1")
    portal.new("Data Supply", reference="wind/%")
    assert {found.id for found in portal.root.named("Data Product", "wind/%")} == {first.id, second.id}
    portal.delete(first)
    assert portal.root.named("Data Product", "wind/%") == [second]
