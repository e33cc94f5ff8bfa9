"""Roles and scopes: the whole table, since one place decides."""

import pytest

from haywain.errors import ForbiddenError, InvalidError
from haywain.portal_types.data_stream import DataStream
from haywain.portal_types.person import Person
from haywain.portal_types.token import Token
from haywain.security import ANONYMOUS, SYSTEM, User, hidden_portal_types, may, require
from haywain.security.user import ROLES, check_scopes

PERMISSIONS = ("view", "edit", "activity", "ingest", "manage")
BY_ROLE = {
    "Manager": "view edit activity ingest manage",
    "Editor": "view edit activity ingest",
    "Analyst": "view edit activity",
    "Viewer": "view",
    "Agent": "ingest",
    "": "",
    "No such role": "",
}
BY_SCOPE = {
    "admin": "view edit activity ingest manage",
    "write": "view edit",
    "read": "view",
    "activity": "view activity",
    "ingest:default": "ingest",
    "ingest:*": "ingest",
    "ingest:other": "",
    "nonsense": "",
}


def user(role: str, scopes: tuple[str, ...] | None = None) -> User:
    return User("ann", frozenset({role} - {""}), None if scopes is None else frozenset(scopes))


@pytest.mark.parametrize("role", BY_ROLE)
def test_role_gives(role: str) -> None:
    assert user(role).permissions("default") == set(BY_ROLE[role].split())


@pytest.mark.parametrize("role", BY_ROLE)
@pytest.mark.parametrize("scope", BY_SCOPE)
def test_token_gives_no_more_than_scope_and_role(role: str, scope: str) -> None:
    expected = set(BY_ROLE[role].split()) & set(BY_SCOPE[scope].split())
    assert user(role, (scope,)).permissions("default") == expected


def test_several_scopes_and_roles_add_up() -> None:
    both = User("ann", frozenset({"Viewer", "Agent"}), frozenset({"read", "ingest:default"}))
    assert both.permissions("default") == {"view", "ingest"} and both.permissions() == {"view"}


def test_token_without_scopes_may_nothing() -> None:
    assert user("Manager", ()).permissions("default") == frozenset()


def test_scope_of_one_policy_opens_no_other() -> None:
    bound = user("Manager", ("ingest:default",))
    assert may(bound, "ingest", policy="default")
    assert not may(bound, "ingest", policy="default2") and not may(bound, "ingest", policy="")
    assert not may(bound, "ingest")


@pytest.mark.parametrize("role", ROLES)
def test_people_and_tokens_are_for_managers(role: str) -> None:
    for document in (Person(reference="bob"), Token(login="bob", scopes=("read",))):
        assert may(user(role), "view", document) == may(user(role), "edit", document) == (role == "Manager")


def test_kinds_ask_for_their_own_permission() -> None:
    assert may(user("Viewer"), "view", DataStream()) and not may(user("Viewer"), "edit", DataStream())
    assert not may(ANONYMOUS, "view", DataStream()) and may(SYSTEM, "manage")


def test_refusal_says_who_what_and_what_to_do() -> None:
    with pytest.raises(ForbiddenError, match=r"ann may not edit .*; ask a Manager"):
        require(user("Viewer"), "edit", DataStream())
    with pytest.raises(ForbiddenError, match="You may not manage this portal"):
        require(ANONYMOUS, "manage")


def test_hidden_kinds() -> None:
    assert hidden_portal_types(user("Viewer"), [DataStream, Person, Token]) == {"Person", "Token"}
    assert hidden_portal_types(user("Agent"), [DataStream]) == {"Data Stream"}
    assert hidden_portal_types(SYSTEM, [DataStream, Person]) == frozenset()


def test_scopes_are_sorted_once_each() -> None:
    assert check_scopes([" write ", "read", "read", ""]) == ("read", "write")


@pytest.mark.parametrize(
    "scopes", [[], ["", " "], ["root"], ["ingest:"], ["ingest"], ["READ"], ["read", "x"]], ids=str
)
def test_bad_scopes_are_refused(scopes: list[str]) -> None:
    with pytest.raises(InvalidError):
        check_scopes(scopes)
