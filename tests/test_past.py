"""The portal as it was: whatever came later, by transaction and by time; read, and never written."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haywain.errors import GoneError, InvalidError, NotFoundError, UnknownNameError
from haywain.portal import Portal, Site
from haywain.store.moment import time_of

Rows = list[tuple[str, int]]


def rows(portal: Portal) -> Rows:
    """Return what a search finds of the test's streams."""
    return [
        (hit.reference, hit.size) for hit in portal.catalog(reference="walk%", sort_on=("reference", "size"))
    ]


@settings(max_examples=15)
@given(
    steps=st.lists(st.sampled_from(["new", "append", "rename", "delete", "move"]), min_size=1, max_size=12)
)
def test_each_moment_is_found_as_it_was(site: Site, steps: list[str]) -> None:
    """Also while other portals go on; each search is asked twice, since the log is remembered."""
    seen: list[tuple[str, Rows, dict[str, bytes]]] = []

    def clean(portal: Portal) -> None:
        for hit in list(portal.catalog(reference="walk%")):
            portal.delete(hit)

    site.transact(clean)
    for number, step in enumerate(steps):

        def work(portal: Portal, step: str = step, number: int = number) -> None:
            found = list(portal.catalog(reference="walk%", sort_on="created"))
            if step == "new" or not found:
                portal.new("Data Stream", reference=f"walk {number}").append(b"0")  # type: ignore[attr-defined]
            elif step == "append":
                found[0].append(b"%d" % number)  # type: ignore[attr-defined]
            elif step == "rename":
                found[-1].edit(reference=f"walk renamed {number}")
            elif step == "delete":
                portal.delete(found[0])
            else:
                found[0].edit(title="elsewhere")

        tid = site.transact(work)[1]
        with site.open() as portal:
            contents = {hit.path: hit.read() for hit in portal.catalog(reference="walk%")}  # type: ignore[attr-defined]
            seen.append((tid, rows(portal), contents))
    with site.open() as portal:
        for tid, expected, contents in seen:
            with portal.at(tid) as then:
                assert rows(then) == expected == rows(then)
                assert then.catalog(reference="walk%").count() == len(expected)
                assert {path: then[path].read() for path in contents} == contents  # type: ignore[attr-defined]


def test_search_at_a_moment_sees_nothing_that_commits_meanwhile(site: Site) -> None:
    tid = site.transact(lambda portal: portal.new("Data Stream", reference="calm").path)[1]
    with site.open() as portal, portal.at(tid) as then:
        for number in range(5):
            site.transact(lambda other, n=number: other.new("Data Stream", reference=f"calm {n}").path)
            assert [hit.reference for hit in then.catalog(reference="calm%")] == ["calm"]


def test_view_of_an_array_is_that_of_the_moment(site: Site, portal: Portal) -> None:
    array = portal.new("Data Array")
    array.create((5000, 3), "<f4")  # type: ignore[attr-defined]
    array[:] = 1  # type: ignore[index]
    before = portal.commit()
    array[:][100] = 7  # type: ignore[index]
    array.append(np.zeros((10, 3)))  # type: ignore[attr-defined]
    after = portal.commit()
    array.resize(3)  # type: ignore[attr-defined]
    portal.commit()
    with portal.at(before) as then, portal.at(after) as later:
        assert then[array.path][:].sum() == 15_000 and later[array.path][:].sum() == 15_018  # type: ignore[index]
        assert len(later[array.path]) == 5010 and then.again()[array.path].shape == (5000, 3)  # type: ignore[arg-type,attr-defined]


def test_nothing_is_changed_in_the_past(portal: Portal) -> None:
    stream = portal.new("Data Stream")
    tid = portal.commit()
    with portal.at(tid) as then:
        for change in (lambda: then.new("Data Stream"), lambda: then.delete(then[stream.path]), then.commit):
            with pytest.raises(InvalidError, match="past cannot be changed"):
                change()
        then[stream.path].append(b"x")  # type: ignore[attr-defined]
        with pytest.raises(InvalidError, match="past cannot be changed"):
            then.commit()
        then.abort()
        assert then[stream.path].size == 0  # type: ignore[attr-defined]


def test_time_stands_for_the_last_transaction_before_it(site: Site, portal: Portal) -> None:
    stream = portal.new("Data Stream")
    first = time_of(bytes.fromhex(portal.commit()))
    stream.append(b"x")  # type: ignore[attr-defined]
    second = time_of(bytes.fromhex(portal.commit()))
    between = first + (second - first) / 2
    for moment, size in ((between, 0), (second + timedelta(microseconds=1), 1), (datetime.now(UTC), 1)):
        for when in (moment, moment.isoformat(), moment.astimezone(UTC).replace(tzinfo=None)):
            with portal.at(when) as then:
                assert then[stream.path].size == size  # type: ignore[attr-defined]


def test_moments_that_are_not_there_are_refused(site: Site, portal: Portal) -> None:
    for bad in ("", "soon", "0" * 15, datetime(9999, 1, 1, tzinfo=UTC), "f" * 16):
        with pytest.raises(InvalidError):
            portal.at(bad)
    with pytest.raises(NotFoundError, match="There was no portal yet"):
        portal.at("0" * 16)
    with portal.at(portal.commit()) as then, pytest.raises(UnknownNameError):
        then.catalog(no_such=1)


def test_pack_takes_the_past_away(site: Site) -> None:
    path, before = site.transact(lambda portal: portal.new("Data Stream", reference="packed").path)
    site.transact(lambda portal: portal[path].append(b"x"))  # type: ignore[attr-defined]
    site.pack(days=0)
    after = site.transact(lambda portal: portal[path].append(b"y"))[1]  # type: ignore[attr-defined]
    with site.open() as portal:
        with pytest.raises(GoneError, match="packed away"):
            portal.at(before)
        with portal.at(after) as then:
            assert then[path].read() == b"xy"  # type: ignore[attr-defined]


def test_what_is_packed_away_is_refused_as_a_whole(site: Site, portal: Portal) -> None:
    portal.new("Data Stream")
    before = portal.commit()
    portal.new("Data Stream")
    portal.root.packed_until = after = portal.commit()
    portal.commit()
    with pytest.raises(GoneError, match="packed away"):
        portal.at(before)
    portal.at(after).close()
    portal.root.packed_until = ""  # type: ignore[assignment]
    portal.commit()
