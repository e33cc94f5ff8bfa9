"""Progress Indicators: one a key; a draft has a position of its own until it is complete."""

import numpy as np
import pytest

from haywain.errors import DuplicateError
from haywain.portal import Portal, Site
from haywain.store.array import Array


def test_position_moves(portal: Portal) -> None:
    indicator = portal.new("Progress Indicator", source="a/b", key="k")
    indicator.move(10, 2, 7, "{}")
    assert (indicator.position.offset, indicator.position.rows) == (10, 2)
    assert indicator.as_dict()["offset"] == 10 and indicator.properties.source == "a/b"


def test_key_has_one_indicator(portal: Portal) -> None:
    first = portal.new("Progress Indicator", key="one")
    with pytest.raises(DuplicateError):
        portal.new("Progress Indicator", key="one")
    assert portal.root.find("progress", "one") is first
    portal.delete(first)
    portal.new("Progress Indicator", key="one")


def test_draft_is_kept_beside_the_position(site: Site) -> None:
    def begin(portal: Portal) -> str:
        indicator = portal.new("Progress Indicator")
        indicator.move(100, 10, 1, "old")
        indicator.begin_draft(Array((0,), "<f8"), "the activity")
        indicator.draft.append(np.arange(5.0))
        indicator.move_draft(40, 5, 2, "new")
        return str(indicator.path)

    path = site.transact(begin)[0]
    with site.open() as portal:
        indicator = portal[path]
        assert (indicator.position.offset, indicator.draft_position.offset) == (100, 40)
        assert indicator.maker == "the activity"
        assert indicator.end_draft().view().tolist() == [0, 1, 2, 3, 4]
        assert (indicator.position.offset, indicator.position.reading) == (40, "new")
        assert (indicator.draft, indicator.draft_position.offset) == (None, 0)
