"""Every view x role x method: 401 for nobody, 403 or 404 without the right, never a fault."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyramid.interfaces import IExceptionResponse
from pyramid.security import NO_PERMISSION_REQUIRED
from webtest import TestApp

from haywain.document import Document, Module, PortalRoot
from haywain.interfaces import IByteStream
from haywain.portal import Portal, Site
from haywain.security import User, may
from haywain.security.user import ROLES
from haywain.web.application import configure

OPEN = {"healthz", "readyz", "metrics", "login", "logout", "static"}
Program = Callable[..., TestApp]


@pytest.fixture(scope="module")
def samples(site: Site, application: object) -> dict[str, str]:
    """A document of each kind: its path by its Portal Type."""

    def fill(portal: Portal) -> dict[str, str]:
        needed: dict[str, dict[str, Any]] = {
            "Person": {"reference": "sample", "password": "long enough"},
            "Token": {"login": "viewer", "scopes": ("read",)},
            "Quarantine": {"policy": "default", "reason": "bad", "body": b"raw"},
            "Ingestion Policy": {"reference": "sample"},
            "Schedule": {"document": portal.new("Data Stream").path, "method": "seal", "rule": "@daily"},
        }
        kinds = site.registry.portal_types
        made = {name: portal.new(name, **needed.get(name, {})) for name in kinds}
        array: Any = made["Data Array"]  # Any: one kind of document
        array.create((2,), "i1")
        made["Data Array Line"].edit(array=array.path)
        made["Data Array View"].edit(sources=(array.path, made["Data Array Line"].path))
        return {name: document.path for name, document in made.items()}

    return site.transact(fill)[0]


@pytest.fixture(scope="module")
def views(site: Site, application: object) -> list[dict[str, Any]]:
    config = configure(site)
    config.commit()
    found = []
    for item in config.introspector.get_category("views"):
        view, related = item["introspectable"], item["related"]
        if view["context"] is not IExceptionResponse and not is_error(view["context"]):
            permissions = [other["value"] for other in related if other.category_name == "permissions"]
            routes = [other["pattern"] for other in related if other.category_name == "routes"]
            found.append({**view, "permissions": permissions, "routes": routes})
    return found


def is_error(context: object) -> bool:
    return isinstance(context, type) and issubclass(context, Exception)


def test_every_view_names_its_permission(views: list[dict[str, Any]]) -> None:
    assert len(views) > 20
    for view in views:
        assert len(view["permissions"]) == 1, view["callable"]
        if view["permissions"][0] == NO_PERMISSION_REQUIRED:
            assert view["route_name"] in OPEN, view["callable"]


def paths_of(view: dict[str, Any], site: Site, samples: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield addresses at which a view answers, and what it asks the permission for."""
    if view["routes"]:
        yield view["routes"][0], None
        return
    tail = f"/{view['name']}" if view["name"] else ""
    kinds = site.registry.portal_types
    if view["context"] is PortalRoot:
        yield "/", None
    elif view["context"] is Module:
        yield from ((f"/{cls.module_id}{tail}", cls) for cls in kinds.values())
    elif view["context"] is Document:
        yield from ((f"/{samples[name]}{tail}", cls) for name, cls in kinds.items())
    else:
        yield from (
            (f"/{samples[name]}{tail}", cls)
            for name, cls in kinds.items()
            if view["context"].implementedBy(cls)
        )


def methods_of(view: dict[str, Any]) -> tuple[str, ...]:
    methods = view["request_methods"] or ("GET",)
    return (methods,) if isinstance(methods, str) else tuple(methods)


def requests_of(
    views: list[dict[str, Any]], site: Site, samples: dict[str, str]
) -> set[tuple[str, str, str, str, Any]]:
    return {
        (method, path, view["accept"] or "application/json", view["permissions"][0], kind)
        for view in views
        if view["permissions"][0] != NO_PERMISSION_REQUIRED
        for path, kind in paths_of(view, site, samples)
        for method in methods_of(view)
    }


def is_allowed(role: str, permission: str, kind: Any) -> bool:
    user = User("x", frozenset({role}))
    return may(user, permission, kind) if kind is not None else may(user, permission)


def ask(client: TestApp, method: str, path: str, accept: str) -> int:
    return client.request(path, method=method, headers={"Accept": accept}, expect_errors=True).status_int


def test_nobody_is_asked_who_they_are(
    views: list[dict[str, Any]], site: Site, samples: dict[str, str], program: Program
) -> None:
    for method, path, accept, _, _ in requests_of(views, site, samples):
        expected = {303} if accept == "text/html" else {401}
        assert ask(program(), method, path, accept) in expected, (method, path, accept)


@pytest.mark.parametrize("role", ROLES)
def test_role_without_the_right_is_refused(
    role: str, views: list[dict[str, Any]], site: Site, samples: dict[str, str], program: Program
) -> None:
    client, refused = program(role.lower()), 0
    asked = requests_of(views, site, samples)
    allowed = {(m, p, a) for m, p, a, permission, kind in asked if is_allowed(role, permission, kind)}
    for method, path, accept, _, _ in asked:
        if (method, path, accept) not in allowed:
            refused += 1
            assert ask(client, method, path, accept) in (403, 404), (method, path, accept)
    assert refused or role == "Manager"


@pytest.mark.parametrize("role", ROLES)
def test_role_with_the_right_may_look(
    role: str, views: list[dict[str, Any]], site: Site, samples: dict[str, str], program: Program
) -> None:
    client, seen = program(role.lower()), 0
    for method, path, accept, permission, kind in requests_of(views, site, samples):
        if method in ("GET", "HEAD") and is_allowed(role, permission, kind) and "/uploads" not in path:
            seen += 1
            assert ask(client, method, path, accept) in (200, 303, 404), (method, path, accept)
    assert seen > 10 or role == "Agent"


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE"]
)
@pytest.mark.parametrize(
    "accept", ["application/json", "text/html", "*/*", "image/png", "\xff", ""], ids=range(6)
)
def test_no_method_anywhere_is_a_fault(
    site: Site, samples: dict[str, str], program: Program, method: str, accept: str
) -> None:
    client = program("manager")
    client.lint = False  # it knows no such method
    places = ["/", "/nowhere", "/data_stream_module", "/api/v1/search", "/login", "/healthz", "/static/none"]
    for path in [*places, *(f"/{samples[name]}" for name in ("Data Stream", "Person", "Ingestion Policy"))]:
        assert ask(client, method, path, accept) < 500, path


@pytest.mark.parametrize("login", ["viewer", "analyst", "editor"])
def test_who_is_no_manager_sees_no_person_and_no_token(
    samples: dict[str, str], program: Program, login: str
) -> None:
    client = program(login)
    for name in ("Person", "Token"):
        module = samples[name].partition("/")[0]
        for path in (f"/{module}", f"/{samples[name]}", f"/{module}/new", f"/{samples[name]}/edit"):
            for accept in ("application/json", "text/html"):
                assert ask(client, "GET", path, accept) in (403, 404)
        for query in (
            f"portal_type={name}",
            f"path={samples[name]}",
            "text=sample",
            f"module={module}",
            "owner=system",
        ):
            items = client.get(f"/api/v1/search?{query}").json["items"]
            assert all(item["portal_type"] not in ("Person", "Token") for item in items)


def test_hashes_and_secrets_leave_nowhere(site: Site, samples: dict[str, str], program: Program) -> None:
    with site.open() as portal:
        person, token = portal[samples["Person"]], portal[samples["Token"]]
        secrets = [person.password_hash, token.properties.secret_hash]
    client = program("manager")
    for name in ("Person", "Token"):
        module = samples[name].partition("/")[0]
        for path in (
            f"/{module}",
            f"/{samples[name]}",
            f"/{samples[name]}/edit",
            "/api/v1/search?limit=1000",
            "/search?text=sample",
        ):
            for accept in ("application/json", "text/html"):
                body = client.get(path, headers={"Accept": accept}, expect_errors=True).text
                assert not any(secret in body or "argon2" in body or "_hash" in body for secret in secrets)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/data_stream_module/../person_module/admin",
        "/__class__",
        "/data_stream_module/__class__",
        "/data_stream_module/documents",
        "/modules",
        "/tools/sessions",
        "/data_stream_module/_p_jar",
        "/%00",
        "/data_stream_module/%00",
        "/@@edit",
        "/" + "a" * 60_000,
        "/" + "a/" * 20_000,
        "/static/../page.py",
        "/static/%2e%2e/%2e%2e/app.py",
        "/static//etc/passwd",
        "/data_stream_module/x/data/y/z",
    ],
    ids=lambda path: path[:30],
)
def test_odd_path_leads_nowhere(program: Program, path: str) -> None:
    for login in ("", "viewer"):
        response = program(login).get(path, expect_errors=True)
        assert response.status_int in (401, 403, 404)
        assert "root:" not in response.text


def test_kinds_that_hold_bytes_are_covered(site: Site) -> None:
    assert [name for name, cls in site.registry.portal_types.items() if IByteStream.implementedBy(cls)]
