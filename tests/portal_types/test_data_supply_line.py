"""Data Supply Line: its supply knows it."""

import pytest

from haywain.errors import InvalidError
from haywain.portal import Portal


def test_supply_knows_its_lines(portal: Portal) -> None:
    one, other = (portal.new("Data Supply", reference=name) for name in ("one", "other"))
    product = portal.new("Data Product", reference="wind")
    line = portal.new("Data Supply Line", supply=one.path, resource=product.path)
    assert (one.linked("line"), line.linked("supply")) == ([line.path], [one.path])
    assert line.linked("resource") == [product.path]
    line.edit(supply=other.path, resource="")
    assert (one.linked("line"), other.linked("line")) == ([], [line.path]) and not line.linked("resource")


@pytest.mark.parametrize("name", ["supply", "resource", "aggregate"])
def test_path_leads_to_a_document_of_its_kind(portal: Portal, name: str) -> None:
    for path in ("nowhere/x", "data_supply_module/none", "portal_ingestion_policies/default"):
        if (name, path) == ("aggregate", "portal_ingestion_policies/default"):
            continue  # any document may be a device
        with pytest.raises(InvalidError, match=name):
            portal.new("Data Supply Line", **{name: path})
    line = portal.new("Data Supply Line")
    with pytest.raises(InvalidError, match=name):
        line.edit(**{name: "nowhere/x"})
    assert line.categories == ()
