"""Content: one file is one kind, named like its file, told in the docs."""

import ast
from pathlib import Path

from haywain.registry import Registry, load_registry
from haywain.security.user import ROLES


def public_classes(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    return [name for name in names if not name.startswith("_")]


def test_content_file_has_one_public_class_named_like_it(kinds: list[Path]) -> None:
    """The schema of a kind, named after it, may stand beside it."""
    assert kinds
    for path in kinds:
        found = public_classes(path)
        kind = [name for name in found if name.lower() == path.stem.replace("_", "")]
        assert len(kind) == 1, f"{path}: {found}"
        assert set(found) <= {kind[0], f"{kind[0]}Properties"}, f"{path}: {found}"


def test_registry_finds_every_content_file(kinds: list[Path]) -> None:
    registry = load_registry()
    found = {type(rule).__module__ for rule in registry.ingestion_policies.values()}
    found |= {cls.__module__ for cls in registry.portal_types.values()}
    found |= {type(kind).__module__ for kind in registry.activities.values()}
    assert found == {f"haywain.{path.parent.name}.{path.stem}" for path in kinds}


def titles(registry: Registry) -> list[str]:
    return [*registry.portal_types, *registry.ingestion_policies, *registry.activities]


def test_every_kind_is_documented(prose: str) -> None:
    assert not [title for title in titles(load_registry()) if title not in prose]


def rows(page: Path) -> list[list[str]]:
    """Return the cells of every table row of a page."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_portal_type_stands_beside_its_module(root: Path) -> None:
    told = {tuple(row[:2]) for row in rows(root / "docs/portal-types.md")}
    kinds = load_registry().portal_types.values()
    assert {(cls.portal_type, f"`{cls.module_id}`") for cls in kinds} <= told


def test_docs_give_each_role_its_permissions(root: Path) -> None:
    table = rows(root / "docs/portal-types.md")
    head = next(row for row in table if row[0] == "role")
    told = {
        row[0]: {name for name, cell in zip(head, row, strict=True) if cell == "yes"}
        for row in table
        if len(row) == len(head) and row is not head
    }
    assert told == ROLES
