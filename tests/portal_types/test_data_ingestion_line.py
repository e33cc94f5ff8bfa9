"""Data Ingestion Line: its Data Ingestion knows it."""

import pytest

from haywain.errors import InvalidError
from haywain.portal import Portal


def test_ingestion_knows_its_lines_and_a_line_keeps_its_sink(portal: Portal) -> None:
    ingestion, sink = portal.new("Data Ingestion"), portal.new("Data Stream")
    line = portal.new("Data Ingestion Line", ingestion=ingestion.path)
    line.link("aggregate", sink)
    line.edit(quantity=2)
    assert ingestion.linked("line") == [line.path] and line.linked("aggregate") == [sink.path]


def test_ingestion_is_one(portal: Portal) -> None:
    with pytest.raises(InvalidError, match="there is no Data Ingestion"):
        portal.new("Data Ingestion Line", ingestion=portal.new("Data Supply").path)
