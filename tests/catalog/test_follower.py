"""Two portals on one database, each with its catalog: what one commits the other finds at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.functional.program import DatabaseProgram
from tests.storages import Storage

from haywain.app import open_site
from haywain.catalog import CatalogStore, repair
from haywain.catalog.schema import documents, watermark
from haywain.portal import Portal, Site
from haywain.settings import load

Compare = Callable[[Site], None]


@pytest.fixture
def make(database_server: DatabaseProgram, tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    """Call it with a name for a portal of that name on one database."""
    Storage("zeo-private", tmp_path, database_server).empty()
    opened: list[Site] = []

    def make(name: str) -> Site:
        settings = load(data=tmp_path / name, database=database_server.url, admin_password="correct horse")
        opened.append(open_site(settings)[0])
        return opened[-1]

    yield make
    for site in opened:
        site.close()


Make = Callable[[str], Site]


def count(site: Site, **where: object) -> int:
    with site.open() as portal:
        return portal.catalog(**where).count()


def new(site: Site, reference: str) -> str:
    return site.transact(lambda portal: portal.new("Data Stream", reference=reference).path)[0]


def test_each_change_is_found_in_the_other_portal_at_once(make: Make, compare: Compare) -> None:
    one, two = make("one"), make("two")
    for site, other in ((one, two), (two, one)):
        path = new(site, "made")
        assert count(other, reference="made", size=0) == 1
        other.transact(lambda portal, path=path: portal[path].append(b"abc"))  # type: ignore[misc]
        assert count(site, reference="made", size=3) == 1
        site.transact(lambda portal, path=path: portal[path].edit(reference="changed"))  # type: ignore[misc]
        assert (count(other, reference="made"), count(other, text="changed")) == (0, 1)
        other.transact(lambda portal, path=path: portal.delete(portal[path]))  # type: ignore[misc]
        assert count(site, portal_type="Data Stream") == 0
    for site in (one, two):
        count(site)
        compare(site)


def test_a_session_that_began_before_sees_what_is_committed_when_it_begins_anew(make: Make) -> None:
    one, two = make("one"), make("two")
    with two.open() as portal:
        assert portal.catalog(reference="late").count() == 0
        new(one, "late")
        portal.abort()
        (found,) = portal.catalog(reference="late")
        assert found.reference == "late"


def test_many_transactions_are_followed_in_batches(
    make: Make, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = make("one"), make("two")
    monkeypatch.setattr(repair, "BATCH", 4)
    for number in range(11):
        new(one, f"s{number}")
    assert count(two, portal_type="Data Stream") == 11
    compare(two)
    assert two.repair() == 0


def test_a_portal_that_was_away_follows_when_it_comes_back(make: Make, compare: Compare) -> None:
    one, two = make("one"), make("two")
    path = new(one, "stays")
    gone = new(one, "goes")
    two.close()
    one.transact(lambda portal: portal.delete(portal[gone]))
    one.transact(lambda portal: portal[path].append(b"abc"))  # type: ignore[attr-defined]  # a Data Stream
    again = make("two")
    assert count(again, size=3) == 1
    compare(again)


def test_what_a_pack_took_out_of_the_log_is_learned_from_the_documents(make: Make, compare: Compare) -> None:
    one, two = make("one"), make("two")
    gone = new(one, "goes")
    assert count(two, reference="goes") == 1
    two.close()
    one.transact(lambda portal: portal.delete(portal[gone]))
    for number in range(3):
        new(one, f"s{number}")
    one.pack(days=0)
    again = make("two")
    assert count(again, reference="goes") == 0
    compare(again)


def test_a_watermark_never_goes_back(make: Make) -> None:
    site = make("one")
    new(site, "made")
    site.repair()
    with site.catalog_store.engine.connect() as sql:
        before = sql.execute(select(watermark.c.tid)).scalar_one()
        repair._move_watermark(sql, before - 1)
        assert sql.execute(select(watermark.c.tid)).scalar_one() == before


def test_a_catalog_of_another_database_is_emptied(site: Site, tmp_path: Path) -> None:
    store = CatalogStore(tmp_path / "catalog.sqlite")
    store.belong_to("one")
    assert store.is_new
    store.mark_complete()
    store.belong_to("one")
    assert not store.is_new
    with site.open() as portal, store.engine.connect() as sql:
        repair.write(sql, b"token", [repair.row_of(portal["person_module/admin"])], [])
        assert len(sql.execute(select(documents)).all()) == 1
    store.belong_to("another")
    assert store.is_new
    with store.engine.connect() as sql:
        assert not sql.execute(select(documents)).all()
    store.close()
    again = CatalogStore(tmp_path / "catalog.sqlite")
    assert again.is_new
    again.close()


def test_a_search_of_one_portal_alone_looks_into_no_log(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portal.site.storage, "iterator", None)
    assert portal.catalog(portal_type="Person").count() == 1
