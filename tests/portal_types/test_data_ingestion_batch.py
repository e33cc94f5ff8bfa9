"""Data Ingestion Batch: found by its reference."""

from haywain.portal import Portal


def test_it_is_found_by_its_reference(portal: Portal) -> None:
    batch = portal.new("Data Ingestion Batch", reference="flight-7")
    assert portal.root.named("Data Ingestion Batch", "flight-7") == [batch]
