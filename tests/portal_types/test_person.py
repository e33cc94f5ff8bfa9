"""Person: a login that stays, roles that are known, a password nobody reads."""

from collections.abc import Callable
from typing import cast

import pytest

from haywain.document import Document
from haywain.errors import DuplicateError, InvalidError
from haywain.portal import Portal, Site
from haywain.portal_types.person import Person
from haywain.workflow import WORKFLOWS


@pytest.mark.parametrize("login", ["", "a b", "a:b", "a/b", "a\n", "x" * 65, "\u2028"], ids=range(7))
def test_bad_login_is_refused(login: str) -> None:
    with pytest.raises(InvalidError):
        Person(reference=login)


def test_the_login_of_the_portal_itself_is_nobodys() -> None:
    with pytest.raises(InvalidError, match="choose another"):
        Person(reference="system")


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


def lock(portal: Portal, person: Document) -> None:
    WORKFLOWS["account"].apply(person, "invalidate", "admin")


def demote(portal: Portal, person: Document) -> None:
    person.edit(roles=("Editor",))


ENDS = pytest.mark.parametrize("end", [lock, demote, Portal.delete])
End = Callable[[Portal, Document], None]


@ENDS
def test_last_manager_stays(portal: Portal, end: End) -> None:
    """Neither one who is locked, nor one who has no password, nor an Editor could make another."""
    portal.new("Person", reference="locked", roles=("Manager",), password="long enough").state = "invalidated"
    portal.new("Person", reference="mute", roles=("Manager",))
    portal.new("Person", reference="ed", roles=("Editor",), password="long enough")
    admin = cast(Person, portal["person_module/admin"])
    with pytest.raises(InvalidError, match="admin is the last Manager who can log in; first make"):
        end(portal, admin)
    assert admin.state == "validated" and admin.user().roles == {"Manager"} and admin.history == ()
    assert portal["person_module/admin"] is admin
    end(portal, portal["person_module/ed"])


@ENDS
def test_a_manager_beside_another_may_end(portal: Portal, end: End) -> None:
    portal.new("Person", reference="second", roles=("Manager",), password="long enough")
    end(portal, portal["person_module/admin"])
    with pytest.raises(InvalidError, match="second is the last"):
        end(portal, portal["person_module/second"])


@ENDS
def test_of_two_managers_that_end_at_once_one_stays(site: Site, end: End) -> None:
    def make(portal: Portal) -> str:
        reference = f"beside-{end.__name__}"
        return portal.new("Person", reference=reference, roles=("Manager",), password="long enough").path

    other, _ = site.transact(make)
    tries = []

    def end_while_the_other_ends(portal: Portal) -> None:
        tries.append(1)
        end(portal, portal["person_module/admin"])
        site.transact(lambda between: end(between, between[other]))

    with pytest.raises(InvalidError, match="admin is the last"):
        site.transact(end_while_the_other_ends)
    assert len(tries) == 2
