"""Quarantine: evidence, which stays as it was."""

import pytest

from haywain.errors import InvalidError
from haywain.portal import Portal


def test_what_was_sent_stays_and_what_people_say_changes(portal: Portal) -> None:
    kept = portal.new("Quarantine", body=b"raw", policy="default", reason="r", tag="t", key="k")
    for name in ("policy", "reason", "tag", "key", "scope"):
        with pytest.raises(InvalidError, match=name):
            kept.edit(**{name: "other"})
    kept.edit(title="looked at", policy="default")
    assert (kept.title, kept.read(), kept.properties.key) == ("looked at", b"raw", "k")


def test_it_is_made_by_no_person(portal: Portal) -> None:
    assert portal.site.registry.portal_type("Quarantine").is_addable is False
