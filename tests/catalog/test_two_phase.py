"""One commit for objects and rows: whatever fails, both have it or, after a repair, both have it."""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from ZODB.POSException import ConflictError

from haywain.app import open_site
from haywain.catalog import Catalog, CatalogStore, index, repair, rows
from haywain.catalog.index import CatalogBusyError
from haywain.document import Document
from haywain.errors import CorruptDataError, DataDirectoryError, InvalidError, TemporaryError
from haywain.portal import Portal, Site
from haywain.settings import load

Compare = Callable[[Site], None]


def make(reference: str) -> Callable[[Portal], str]:
    return lambda portal: portal.new("Data Product", reference=reference).path


def count(site: Site, reference: str) -> int:
    with site.open() as portal:
        return portal.catalog(reference=reference).count()


def operational(message: str) -> OperationalError:
    return OperationalError("insert", {}, sqlite3.OperationalError(message))


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*args: object, **options: object) -> None:
        raise error

    return fail


def test_failed_vote_keeps_nothing_in_either(
    site: Site, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(TemporaryError, match="disk is full"):
        patch.setattr(index, "write", failing(operational("database or disk is full")))
        site.transact(make("vote"))
    assert count(site, "vote") == 0 and site.repair() == 0
    compare(site)


def test_vote_that_fails_half_way_keeps_nothing(
    site: Site, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = index.write

    def half(*args: object) -> None:
        write(*args)
        raise ZeroDivisionError

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(index, "write", half)
        site.transact(make("half"))
    compare(site)
    site.transact(make("after"))
    compare(site)


def test_busy_catalog_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, tries = index.begin, []

    def busy(sql: object) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise operational("database is locked")
        begin(sql)

    monkeypatch.setattr(index, "begin", busy)
    site.transact(make("busy"))
    assert len(tries) == 3 and count(site, "busy") == 1


def test_locked_catalog_is_an_error_to_come_again(tmp_path: Path) -> None:
    store = CatalogStore(tmp_path / "catalog.sqlite")
    with store.engine.connect() as one, store.engine.connect() as two:
        two.exec_driver_sql("pragma busy_timeout = 1")
        rows.begin(one)
        with pytest.raises(OperationalError, match="locked"), rows.writing(two):
            pass
        one.exec_driver_sql("rollback")
    store.close()
    assert issubclass(CatalogBusyError, TemporaryError)


@pytest.mark.parametrize(
    "error", [operational("disk I/O error"), RuntimeError("anything")], ids=["sql", "other"]
)
def test_failed_finish_is_no_error_and_is_mended_by_the_next_search(
    site: Site, compare: Compare, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    name = f"finish {type(error).__name__}"
    with monkeypatch.context() as patch:
        patch.setattr(index, "note", failing(error))
        path, _ = site.transact(make(name))
        with site.open() as portal:
            assert portal[path].reference == name
        patch.setattr(repair, "write", failing(operational("database or disk is full")))
        assert count(site, name) == 0  # the disk is still full: the search answers what it has
        patch.setattr(repair, "row_in", failing(OSError("of the storage")))
        site.catalog_store.mends_after = 0.0
        with pytest.raises(OSError, match="of the storage"):
            count(site, name)
    assert count(site, name) == 1 and site.repair() == 0
    compare(site)


def test_failed_finish_is_repaired_where_nobody_searches(
    site: Site, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(index, "note", failing(operational("disk I/O error")))
        site.transact(make("nobody"))
    assert [site.repair(), site.repair()] == [1, 0]
    assert count(site, "nobody") == 1
    compare(site)


def test_repair_of_a_document_that_is_gone_meanwhile(
    site: Site, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(index, "note", failing(RuntimeError()))
        path, _ = site.transact(make("short life"))
        other, _ = site.transact(make("longer life"))
        site.transact(lambda p: p[other].edit(title="changed"))
    site.transact(lambda p: p.delete(p[path]))
    assert site.repair() == 3
    compare(site)


def test_repair_that_fails_half_way_is_made_good_by_the_next(
    site: Site, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(index, "note", failing(RuntimeError()))
        site.transact(make("twice"))
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(rows, "write_rows", failing(ZeroDivisionError()))
        site.repair()
    assert site.repair() == 1
    compare(site)


def test_kill_between_the_two_commits(
    tmp_path: Path, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(data=tmp_path / "var", admin_password="correct horse")
    site, _ = open_site(settings)
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "tpc_finish", failing(SystemExit()))
        with pytest.raises(SystemExit):
            site.transact(make("killed"))
    site.close()
    site, _ = open_site(settings)
    assert count(site, "killed") == 1 and site.repair() == 0
    compare(site)
    site.close()


def test_commit_that_is_tried_again_after_a_failure_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`transaction` calls its hooks once: the second commit would keep objects without rows."""
    with site.open() as portal:
        portal.new("Data Product", reference="again")
        with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
            patch.setattr(index, "row_of", failing(ZeroDivisionError()))
            portal.commit()
        with pytest.raises(RuntimeError, match="never made"):
            portal.commit()
    assert count(site, "again") == 0


def test_writers_in_threads_leave_rows_equal_to_documents(site: Site, compare: Compare) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(4):
                path, _ = site.transact(make(f"thread{number}"))
                site.transact(lambda p, path=path, step=step: p[path].edit(title=f"step {step}"))
                if step % 2:
                    site.transact(lambda p, path=path: p.delete(p[path]))
                assert count(site, f"thread{number}") == step // 2 + 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert site.repair() == 0
    compare(site)


def test_reindex_and_repair_beside_writers(site: Site, compare: Compare) -> None:
    stop, errors, written = threading.Event(), [], [0]

    def write() -> None:
        try:
            while not stop.is_set():
                path, _ = site.transact(make("beside"))
                site.transact(lambda p, path=path: p[path].edit(title="x"))
                site.transact(lambda p, path=path: p.delete(p[path])) if written[0] % 2 else None
                written[0] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while written[0] < 12 and time.monotonic() < deadline and not errors:
        site.reindex()
        assert site.repair() == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors and written[0] >= 12
    compare(site)


def test_reindex_restores_what_is_lost_and_drops_what_is_strange(site: Site, compare: Compare) -> None:
    with site.catalog_store.engine.connect() as sql:
        sql.exec_driver_sql("update documents set title = 'wrong', uid = uid + 1000000")
        sql.exec_driver_sql("delete from documents_text")
    seen: list[int] = []
    with site.open() as portal:
        total = sum(len(module.documents) for module in portal.root)
    assert site.reindex(seen.append) == total == seen[-1]
    compare(site)


def test_repair_after_a_reindex_has_nothing_to_look_at(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.reindex()
    monkeypatch.setattr("haywain.catalog.repair._reindex", failing(AssertionError()))
    assert site.repair() == 0


def catalog_file(folder: Path) -> Path:
    return folder / "var" / "catalog.sqlite"


def another_version(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 99")
    connection.execute("alter table documents drop column title")
    connection.close()


@pytest.mark.parametrize(
    "harm",
    [another_version, lambda path: path.write_bytes(b"no SQLite" * 1000), lambda path: path.unlink()],
    ids=["another version", "damaged", "missing"],
)
def test_catalog_that_cannot_be_used_is_built_anew(
    tmp_path: Path, compare: Compare, harm: Callable[[Path], object]
) -> None:
    settings = load(data=tmp_path / "var", admin_password="correct horse")
    site, _ = open_site(settings)
    site.transact(make("rebuilt"))
    site.close()
    harm(catalog_file(tmp_path))
    site, _ = open_site(settings)
    assert count(site, "rebuilt") == 1
    compare(site)
    site.close()


def test_catalog_that_is_a_folder_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").mkdir()
    with pytest.raises(DataDirectoryError, match="catalog"):
        CatalogStore(tmp_path / "catalog.sqlite")


def test_append_changes_one_row_and_no_text(site: Site) -> None:
    path, _ = site.transact(lambda p: p.new("Data Stream", reference="one row").path)
    with site.catalog_store.engine.connect() as sql:
        before = sql.exec_driver_sql("select count(*) from documents_text_data").scalar()
        site.transact(lambda p: p[path].append(b"x"))
        assert sql.exec_driver_sql("select count(*) from documents_text_data").scalar() == before


@pytest.mark.parametrize("data", [b"x", b""], ids=["bytes", "nothing"])
def test_append_to_what_is_deleted_meanwhile_leaves_no_row(site: Site, compare: Compare, data: bytes) -> None:
    path, _ = site.transact(lambda p: p.new("Data Stream", reference="ghost").path)
    with site.open() as portal:
        portal[path].append(data)  # type: ignore[attr-defined]
        site.transact(lambda other: other.delete(other[path]))
        with pytest.raises(ConflictError):
            portal.commit()
    assert count(site, "ghost") == 0
    compare(site)


def test_damaged_document_does_not_keep_the_others_from_the_catalog(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, _ = site.transact(lambda p: p.new("Data Stream", reference="damaged").uid)
    site.transact(lambda p: p.new("Data Stream", reference="sound").uid)
    row_of = repair.row_of

    def row(document: Document) -> dict[str, Any]:
        if document.uid == damaged:
            raise CorruptDataError("a record does not match its checksum")
        return row_of(document)

    with monkeypatch.context() as patch:
        patch.setattr(repair, "row_of", row)
        site.reindex()
    with site.open() as portal:
        assert portal.catalog(reference="sound").count() == 1
        assert portal.catalog(reference="damaged").count() == 0
    assert f"{damaged:016x} is damaged" in caplog.text
    site.reindex()


def test_transaction_of_too_many_documents_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MOST_CHANGED", 3)
    with site.open() as portal:
        documents = [portal.new("Data Product") for _ in range(3)]
        documents[0].edit(title="changed twice, and one of three all the same")
        with pytest.raises(InvalidError, match="commit in between"):
            portal.new("Data Product")
