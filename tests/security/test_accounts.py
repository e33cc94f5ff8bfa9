"""Who somebody is: by password, by token, by session; and when no longer."""

from datetime import UTC, datetime, timedelta

import pytest

from haywain.document import PortalRoot
from haywain.errors import InvalidError, UnauthorizedError
from haywain.portal import Portal, Site
from haywain.security.accounts import (
    Logins,
    by_password,
    by_remembered_password,
    by_token,
    new_secret,
    token_hash,
)
from haywain.workflow import WORKFLOWS

PASSWORD = "bob's long password"
ACCOUNT = WORKFLOWS["account"]


@pytest.fixture(scope="module", autouse=True)
def bob(site: Site) -> None:
    site.transact(lambda p: p.new("Person", reference="bob", roles=("Editor",), password=PASSWORD))


@pytest.fixture
def root(portal: Portal) -> PortalRoot:
    return portal.root


def token(portal: Portal, **properties: object) -> str:
    made = portal.new("Token", **({"login": "bob", "scopes": ("write",)} | properties))
    return made.shown_once()["secret"]


def test_password_lets_in_with_its_roles(root: PortalRoot) -> None:
    assert by_password(root, "bob", PASSWORD).roles == {"Editor"}


@pytest.mark.parametrize("login", ["bob", "nobody", "", "BOB", "bob\0"])
def test_wrong_password_and_unknown_login_are_told_alike(root: PortalRoot, login: str) -> None:
    with pytest.raises(UnauthorizedError, match=r"^The user or the password is wrong$"):
        by_password(root, login, "wrong password")


def test_login_is_known_in_either_form(portal: Portal) -> None:
    portal.new("Person", reference="rene\u0301", password=PASSWORD)
    for login in ("ren\u00e9", "rene\u0301"):
        assert by_password(portal.root, login, PASSWORD).login == "ren\u00e9"


def test_person_without_a_password_cannot_log_in(portal: Portal) -> None:
    portal.new("Person", reference="empty")
    for password in ("", "no one has this password"):
        with pytest.raises(UnauthorizedError):
            by_password(portal.root, "empty", password)


def test_locked_person_is_kept_out_even_when_remembered(portal: Portal) -> None:
    assert by_password(portal.root, "bob", PASSWORD)
    ACCOUNT.apply(portal["person_module/bob"], "invalidate", "admin")
    with pytest.raises(UnauthorizedError):
        by_password(portal.root, "bob", PASSWORD)
    assert by_remembered_password(portal.root, "bob", PASSWORD) is None


def test_changed_password_ends_the_old_one_and_the_sessions(portal: Portal) -> None:
    assert by_password(portal.root, "bob", PASSWORD)
    logins = Logins(portal.root)
    bobs, admins = logins.begin("bob", 1), logins.begin("admin", 1)
    portal["person_module/bob"].set_password("another password")
    assert by_remembered_password(portal.root, "bob", PASSWORD) is None
    with pytest.raises(UnauthorizedError):
        by_password(portal.root, "bob", PASSWORD)
    assert by_password(portal.root, "bob", "another password")
    assert logins.find(bobs) is None and logins.find(admins) is not None
    again = logins.begin("bob", 1)
    portal["person_module/bob"].edit(title="Bob")
    assert logins.find(again) is not None
    portal["person_module/bob"].edit(password="third password")
    assert logins.find(again) is None


def test_token_lends_rights_of_its_owner(portal: Portal) -> None:
    user = by_token(portal.root, token(portal))
    assert (user.login, user.permissions()) == ("bob", {"view", "edit"}) and user.token.startswith(
        "token_module/"
    )


@pytest.mark.parametrize("secret", ["", "hw_", "hw_wrong", "\0", "é", "x" * 100_000, "\udcff"], ids=range(7))
def test_unknown_token_is_refused(root: PortalRoot, secret: str) -> None:
    with pytest.raises(UnauthorizedError):
        by_token(root, secret)


def test_hash_of_a_token_is_no_token(portal: Portal) -> None:
    with pytest.raises(UnauthorizedError):
        by_token(portal.root, token_hash(token(portal)))


def test_expired_token_is_refused(portal: Portal, set_clock) -> None:
    end = datetime.fromtimestamp(set_clock.now_s, UTC) + timedelta(hours=1)
    secret = token(portal, expires=end.isoformat())
    assert by_token(portal.root, secret)
    set_clock.forward(3601)
    with pytest.raises(UnauthorizedError):
        by_token(portal.root, secret)


def test_revoked_token_is_refused(portal: Portal) -> None:
    made = portal.new("Token", login="bob", scopes=("read",))
    WORKFLOWS["credential"].apply(made, "invalidate", "admin")
    with pytest.raises(UnauthorizedError):
        by_token(portal.root, made.shown_once()["secret"])


def test_token_of_a_locked_or_removed_owner_is_refused(portal: Portal) -> None:
    secret = token(portal)
    ACCOUNT.apply(portal["person_module/bob"], "invalidate", "admin")
    with pytest.raises(UnauthorizedError):
        by_token(portal.root, secret)
    ACCOUNT.apply(portal["person_module/bob"], "validate", "admin")
    assert by_token(portal.root, secret)
    portal.delete(portal["person_module/bob"])
    with pytest.raises(UnauthorizedError):
        by_token(portal.root, secret)


def test_removed_token_is_refused(portal: Portal) -> None:
    made = portal.new("Token", login="bob", scopes=("read",))
    portal.delete(made)
    with pytest.raises(UnauthorizedError):
        by_token(portal.root, made.shown_once()["secret"])


def test_token_follows_its_owners_roles_at_once(portal: Portal) -> None:
    secret = token(portal, scopes=("admin",))
    assert "manage" not in by_token(portal.root, secret).permissions()
    portal["person_module/bob"].edit(roles=("Viewer",))
    assert by_token(portal.root, secret).permissions() == {"view"}


def test_secrets_are_long_and_never_twice() -> None:
    found = {new_secret() for _ in range(100)}
    assert len(found) == 100 and all(len(secret) == 46 for secret in found)


def test_session_is_found_by_its_secret_only(root: PortalRoot) -> None:
    logins = Logins(root)
    secret = logins.begin("bob", 1)
    assert logins.find(secret).login == "bob" and len(secret) >= 40
    assert [logins.find(s) for s in ("", "x", token_hash(secret), secret[:-1], "\udcff")] == [None] * 5
    assert secret not in root.tools["sessions"]


def test_session_ends_by_time_or_by_hand(root: PortalRoot, set_clock) -> None:
    logins = Logins(root)
    one, two = logins.begin("bob", 1), logins.begin("bob", 2)
    assert logins.find(one).csrf != logins.find(two).csrf
    set_clock.forward(3601)
    assert logins.find(one) is None and logins.find(two) is not None
    logins.end(two)
    logins.end("unknown")
    assert logins.find(two) is None


def test_old_sessions_are_cleared_away(root: PortalRoot, set_clock) -> None:
    logins = Logins(root)
    for _ in range(5):
        logins.begin("bob", 1)
    set_clock.forward(3601)
    logins.begin("bob", 1)
    assert len(root.tools["sessions"]) == 1


@pytest.mark.parametrize(
    "changes", [{"login": "admin"}, {"secret_hash": "x"}, {"scopes": ("root",)}], ids=str
)
def test_token_keeps_owner_and_secret(portal: Portal, changes: dict[str, object]) -> None:
    made = portal.new("Token", login="bob", scopes=("read",))
    with pytest.raises(InvalidError):
        made.edit(**changes)
