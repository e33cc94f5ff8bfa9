"""Person: a login that stays, roles that are known, a password nobody reads."""

import pytest

from haywain.errors import DuplicateError, InvalidError
from haywain.portal import Portal
from haywain.portal_types.person import Person


@pytest.mark.parametrize("login", ["", "a b", "a:b", "a/b", "a\n", "x" * 65, "\u2028"], ids=range(7))
def test_bad_login_is_refused(login: str) -> None:
    with pytest.raises(InvalidError):
        Person(reference=login)


@pytest.mark.parametrize("login", ["_x", ".x", "@x", "data"])
def test_login_that_is_no_id_is_refused(portal: Portal, login: str) -> None:
    with pytest.raises(InvalidError):
        portal.new("Person", reference=login)


def test_login_is_unique(portal: Portal) -> None:
    portal.new("Person", reference="zoe")
    for id in (None, "other"):
        with pytest.raises(DuplicateError):
            portal.new("Person", id=id, reference="zoe")
    assert portal.root.find("login", "zoe").id == "zoe" and "other" not in portal.root["person_module"]


@pytest.mark.parametrize(
    "changes",
    [
        {"reference": "other"},
        {"password_hash": "x"},
        {"roles": ("Root",)},
        {"password": "short"},
        {"roles": "Manager"},
    ],
    ids=str,
)
def test_bad_change_is_refused(changes: dict[str, object]) -> None:
    person = Person(reference="ann", password="long enough", roles=("Viewer",))
    before = person._values
    with pytest.raises(InvalidError):
        person.edit(**changes)
    assert person._values is before


def test_password_is_kept_as_its_hash() -> None:
    person = Person(reference="ann", password="long enough")
    old = person.password_hash
    person.edit(password="another one")
    person.edit(password="")
    assert person.password_hash != old and "another one" not in str(person._values)
    assert "password_hash" not in person.as_dict()


def test_roles_are_sorted_once_each() -> None:
    assert Person(reference="a", roles=("Viewer", "Editor", "Viewer")).properties.roles == (
        "Editor",
        "Viewer",
    )
