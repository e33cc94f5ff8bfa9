"""Content: one file is one kind, named like its file, told in the docs."""

import ast
from pathlib import Path

from haywain.registry import Registry, load_registry


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
