"""The weekly pack: when it is due, and that it waits for a backup."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Clock
from tests.functional.program import DatabaseProgram
from tests.storages import Storage

from haywain.app import open_site
from haywain.portal import Site
from haywain.settings import load
from haywain.soundness import verify
from haywain.store.pack_lock import reading
from haywain.upkeep import pack_if_due

DAY_S = 86_400


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    opened, _ = open_site(load(data=tmp_path / "var", admin_password="correct horse", threads=4))
    yield opened
    opened.close()


def test_a_pack_is_due_a_week_after_the_last_one(site: Site, set_clock: Clock) -> None:
    assert pack_if_due(site) is None
    set_clock.forward(days=6.9)
    assert pack_if_due(site) is None
    set_clock.forward(days=0.2)
    packed = pack_if_due(site)
    assert packed is not None and packed.until == set_clock.now_s - 7 * DAY_S
    told = json.loads((site.path / "pack.json").read_text())
    assert told["after"]["live_bytes"] > 0 and told == packed.as_dict()
    os.utime(site.path / "pack.json", (set_clock.now_s, set_clock.now_s))
    assert pack_if_due(site) is None


def test_of_several_portals_on_one_database_one_packs(
    database_server: DatabaseProgram, tmp_path: Path, set_clock: Clock
) -> None:
    Storage("zeo-shared", tmp_path, database_server).empty()
    sites = []
    for name in ("one", "two"):
        settings = load(data=tmp_path / name, database=database_server.url, admin_password="correct horse")
        sites.append(open_site(settings)[0])
    assert [pack_if_due(site) is None for site in sites] == [True, True]
    set_clock.forward(days=8)
    assert [pack_if_due(site) is None for site in sites] == [False, True]
    for site in sites:
        site.close()


def test_it_waits_while_a_backup_runs(site: Site, set_clock: Clock) -> None:
    set_clock.forward(days=8)
    with reading(site.path):
        assert pack_if_due(site) is None
    assert pack_if_due(site) is not None


def test_what_the_catalog_missed_is_added_before_its_token_is_packed_away(site: Site) -> None:
    site.transact(lambda p: p.new("Data Stream", reference="found"))
    with site.catalog_store.engine.connect() as sql:
        sql.exec_driver_sql("delete from applied")
        sql.exec_driver_sql("delete from documents where reference = 'found'")
        sql.exec_driver_sql("delete from documents_text where reference = 'found'")
    site.pack(days=0)
    assert verify(site.settings).ok
    with site.open() as portal:
        assert portal.catalog(reference="found").count() == 1


def test_what_was_replaced_or_removed_is_gone_after_a_pack(site: Site) -> None:
    def fill(portal: Any) -> None:  # Any: a Portal
        for name in ("kept", "gone"):
            portal.new("Data Stream", reference=name, id=name).append(os.urandom(300_000))

    site.transact(fill)
    site.transact(lambda p: p.delete(p["data_stream_module/gone"]))
    site.transact(lambda p: p["data_stream_module/kept"].replace(b"short"))  # type: ignore[attr-defined]
    packed = site.pack(days=0)
    assert packed.before is not None and packed.after is not None
    assert packed.before.historic_bytes > 600_000 > 100_000 > packed.after.historic_bytes
    assert verify(site.settings).ok
    with site.open() as portal:
        assert portal["data_stream_module/kept"].read() == b"short"  # type: ignore[attr-defined]
