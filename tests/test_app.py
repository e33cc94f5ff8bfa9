"""The first start and those after it, also when one is cut short."""

import stat
from pathlib import Path

import pytest

from haywain import app
from haywain.app import Housekeeping, Serving, open_site
from haywain.errors import DataDirectoryError
from haywain.portal import Site
from haywain.security import User
from haywain.security.accounts import by_password
from haywain.settings import load


def password_file(folder: Path) -> Path:
    return folder / "var" / "admin-password"


def test_first_start_makes_modules_policy_and_admin(site: Site) -> None:
    with site.open() as portal:
        modules = {cls.module_id for cls in site.registry.portal_types.values()}
        assert modules <= {module.id for module in portal.root}
        assert portal["portal_ingestion_policies/default"].state == "validated"
        assert portal["person_module/admin"].user().roles == {"Manager"}
        assert {hit.path for hit in portal.catalog(portal_type="Person")} == {"person_module/admin"}


def test_password_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    site, password = open_site(load(data=tmp_path / "var"))
    with site.open() as portal:
        assert by_password(portal.root, "admin", password).login == "admin"
    site.close()
    kept = password_file(tmp_path)
    assert kept.read_text().strip() == password and stat.S_IMODE(kept.stat().st_mode) == 0o600
    site, again = open_site(load(data=tmp_path / "var"))
    site.close()
    assert again == "" and kept.read_text().strip() == password


def test_start_that_cannot_open_a_door_leaves_nothing_open(tmp_path: Path, free_port: int) -> None:
    settings = load(data=tmp_path / "var", port=free_port, forward_port=0)
    for _ in range(2):
        with pytest.raises(DataDirectoryError, match="set forward_token") as caught:
            Serving(settings)
        assert caught.value.exit_code == 78
    with Serving(load(data=tmp_path / "var", port=free_port)) as serving:
        assert serving.forward is None


def test_given_password_is_written_nowhere(tmp_path: Path) -> None:
    site, made = open_site(load(data=tmp_path / "var", admin_password="correct horse"))
    site.close()
    assert made == "" and not password_file(tmp_path).exists()


def test_password_is_known_whenever_the_first_start_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Site, "repair", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        open_site(load(data=tmp_path / "var"))
    site, _ = open_site(load(data=tmp_path / "var"))
    with site.open() as portal:
        assert by_password(portal.root, "admin", password_file(tmp_path).read_text().strip())
    site.close()


def test_first_start_that_died_half_way_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(app, "_fill", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        open_site(load(data=tmp_path / "var"))
    site, password = open_site(load(data=tmp_path / "var"))
    with site.open() as portal:
        assert by_password(portal.root, "admin", password)
    site.close()


def test_short_password_of_admin_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError, match="admin_password"):
        open_site(load(data=tmp_path / "var", admin_password="short"))
    open_site(load(data=tmp_path / "var", admin_password="long enough"))[0].close()


def test_portal_with_people_but_no_admin_starts_and_makes_none(tmp_path: Path) -> None:
    settings = load(data=tmp_path / "var", admin_password="correct horse")
    site, _ = open_site(settings)
    site.transact(lambda p: p.new("Person", reference="ann", roles=("Manager",), password="ann's own"))
    site.transact(lambda p: p.delete(p["person_module/admin"]))
    site.close()
    site, _ = open_site(settings)
    with site.open() as portal:
        assert list(portal.root["person_module"].documents) == ["ann"]
    site.close()


def test_a_directory_used_with_another_database_shows_that_one(tmp_path: Path) -> None:
    settings = load(data=tmp_path / "var", database="memory:", admin_password="correct horse")
    for _ in range(2):
        site, _ = open_site(settings)
        with site.open() as portal:
            assert portal.catalog(portal_type="Data Stream").count() == 0
            assert [hit.path for hit in portal.catalog(portal_type="Person")] == ["person_module/admin"]
        site.transact(lambda portal: portal.new("Data Stream", reference="gone with the process"))
        site.close()


def test_housekeeping_keeps_the_uses_of_tokens(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = site.transact(lambda portal: portal.new("Token", login="admin", scopes=("read",)).path)
    site.token_uses.note(User("admin", token=path))
    monkeypatch.setattr(app, "REPAIR_EVERY_S", 0.001)
    monkeypatch.setattr(app, "finish_uploads", lambda site: site.stopping.set())
    Housekeeping(site).run()
    site.stopping.clear()
    with site.open() as portal:
        assert portal[path].last_used > 0


def test_housekeeping_goes_on_after_a_failure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = []

    def repair() -> int:
        rounds.append(1)
        if len(rounds) == 3:
            site.stopping.set()
        raise RuntimeError("anything")

    monkeypatch.setattr(app, "REPAIR_EVERY_S", 0.001)
    monkeypatch.setattr(site, "repair", repair)
    Housekeeping(site).run()
    site.stopping.clear()
    assert len(rounds) == 3
