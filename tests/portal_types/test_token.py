"""Token: a secret that is shown once."""

import pytest

from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.security.accounts import token_hash


def test_secret_is_shown_by_the_transaction_that_made_it_only(site: Site) -> None:
    def make(portal: Portal) -> tuple[str, str]:
        token = portal.new("Token", login="admin", scopes=("read",))
        return token.path, token.shown_once()["secret"]

    (path, secret), _ = site.transact(make)
    site.database.cacheMinimize()
    with site.open() as portal:
        assert portal[path].shown_once() == {}
        assert portal[path].properties.secret_hash == token_hash(secret)
        assert portal.root.find("token", token_hash(secret)) is portal[path]


@pytest.mark.parametrize(
    "properties",
    [
        {"login": "nobody"},
        {"scopes": ()},
        {"scopes": ("root",)},
        {"secret_hash": "x"},
        {"expires": "never"},
        {"login": ""},
    ],
    ids=str,
)
def test_bad_token_is_refused(portal: Portal, properties: dict[str, object]) -> None:
    with pytest.raises(InvalidError):
        portal.new("Token", **({"login": "admin", "scopes": ("read",)} | properties))


def test_expiry_survives_the_database(site: Site) -> None:
    def make(portal: Portal) -> str:
        return portal.new("Token", login="admin", scopes=("read",), expires="2000-01-01").path

    path, _ = site.transact(make)
    site.database.cacheMinimize()
    with site.open() as portal:
        assert portal[path].is_expired and portal[path].as_dict()["expires"] == "2000-01-01T00:00:00Z"
