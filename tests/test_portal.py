"""Portal and Site: sessions, transactions that are tried again, and nothing left open."""

import threading
from pathlib import Path

import pytest
from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError

import haywain
from haywain.document import Document, PortalRoot
from haywain.errors import (
    DataDirectoryInUseError,
    DuplicateError,
    InvalidError,
    NotFoundError,
    TemporaryError,
    UnknownNameError,
)
from haywain.portal import TRIES, Portal, Site
from haywain.security import User

ANN = User("ann", frozenset({"Editor"}))


def open_connections(site: Site) -> int:
    return len(site.database.pool.all) - len(site.database.pool.available)


def test_what_is_not_committed_is_gone(site: Site) -> None:
    with site.open() as portal:
        path = portal.new("Data Product").path
        portal.abort()
        with pytest.raises(NotFoundError):
            portal[path]
        portal.new("Data Product", reference="never kept")
    with site.open() as portal:
        assert not len(portal.catalog(reference="never kept"))


def test_commit_returns_the_transaction_and_begins_anew(site: Site) -> None:
    with site.open(ANN) as portal:
        first_path = portal.new("Data Product").path
        first = portal.commit()
        portal.new("Data Product")
        second = portal.commit()
        assert len(first) == 16 and first < second and portal[first_path].owner == "ann"


@pytest.mark.parametrize(
    "path", ["", "/", "a", "data_stream_module", "data_stream_module/x/y", "\0/\0", "a//b"]
)
def test_no_document_is_an_error_of_its_own(portal: Portal, path: str) -> None:
    with pytest.raises(NotFoundError):
        portal[path]


def test_failed_new_leaves_nothing(portal: Portal) -> None:
    before = len(portal.root["token_module"].documents)
    with pytest.raises(InvalidError):
        portal.new("Token", login="nobody", scopes=("read",))
    with pytest.raises(DuplicateError):
        portal.new("Person", id="x", reference="admin", password="long enough")
    with pytest.raises(UnknownNameError):
        portal.new("Nothing")
    assert len(portal.root["token_module"].documents) == before
    assert "x" not in portal.root["person_module"]


def test_document_that_fails_holds_no_key(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    def after_add(document: Document, root: PortalRoot) -> None:
        root.claim("one", "key", document)
        raise InvalidError("and another one is taken")

    monkeypatch.setattr(portal.site.registry.portal_type("Data Product"), "after_add", after_add)
    with pytest.raises(InvalidError, match="taken"):
        portal.new("Data Product")
    assert portal.root.find("one", "key") is None


def test_work_is_tried_again_after_a_conflict(site: Site) -> None:
    seen = []

    def work(portal: Portal) -> str:
        assert open_connections(site) == 1
        seen.append(portal)
        if len(seen) < 3:
            raise ConflictError if len(seen) == 1 else TransientError
        return "done"

    assert site.transact(work)[0] == "done"
    assert len(seen) == 3 and open_connections(site) == 0


def test_endless_conflicts_end_as_temporary(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("haywain.portal.time.sleep", lambda seconds: None)
    seen = []

    def work(portal: Portal) -> None:
        seen.append(1)
        raise ConflictError

    with pytest.raises(TemporaryError, match="try again"):
        site.transact(work)
    assert len(seen) == TRIES and open_connections(site) == 0


def test_failed_work_keeps_nothing_and_leaves_nothing_open(site: Site) -> None:
    def work(portal: Portal) -> None:
        portal.new("Data Product", reference="half done")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        site.transact(work, lock="some")
    with site.open() as portal:
        assert portal.catalog(reference="half done").count() == 0
    assert open_connections(site) == 0


def test_writers_of_one_document_lose_nothing(site: Site) -> None:
    path, _ = site.transact(lambda p: p.new("Data Stream").path)
    errors: list[BaseException] = []

    def append() -> None:
        try:
            for _ in range(5):
                site.transact(lambda p: p[path].append(b"x"))  # no lock: they conflict
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with site.open() as portal:
        assert not errors and portal[path].size == 20
        assert [hit.size for hit in portal.catalog(path=path)] == [20]


def test_hits_load_one_by_one_and_skip_what_is_gone(site: Site) -> None:
    paths, _ = site.transact(lambda p: [p.new("Data Product", reference=f"skip{n}").path for n in range(2)])
    with site.open() as portal:
        hits = portal.catalog(reference="skip%", sort_on="reference")
        site.transact(lambda p: p.delete(p[paths[0]]))
        assert [hit.path for hit in hits][-1] == paths[1] and len(hits) == 2


def test_open_gives_a_portal_that_owns_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAYWAIN_ADMIN_PASSWORD", "correct horse")
    with haywain.open(str(tmp_path / "var")) as portal:
        path = portal.new("Data Stream", reference="x").path
        portal.commit()
        with pytest.raises(DataDirectoryInUseError):
            haywain.open(str(tmp_path / "var"))
    for name in (f"file:{tmp_path}/var", f"file://{tmp_path}/var"):
        with haywain.open(name) as portal:
            assert portal[path].reference == "x"
