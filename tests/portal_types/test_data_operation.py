"""Data Operation: names a rule that is there."""

import pytest

from haywain.errors import UnknownNameError
from haywain.portal import Portal


def test_rule_must_be_there(portal: Portal) -> None:
    operation = portal.new("Data Operation", reference="to-json", script_id="ndjson")
    with pytest.raises(UnknownNameError, match="did you mean ndjson"):
        operation.edit(script_id="ndjsn")
    assert operation.properties.script_id == "ndjson"  # type: ignore[attr-defined]
    with pytest.raises(UnknownNameError):
        portal.new("Data Operation", script_id="no such rule")


def test_it_is_found_by_its_reference(portal: Portal) -> None:
    operation = portal.new("Data Operation", reference="before")
    operation.edit(reference="after")
    assert portal.root.named("Data Operation", "after") == [operation]
    assert portal.root.named("Data Operation", "before") == []
