"""The tree: one import package, and nothing that shadows another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LINKED = ("activities", "ingestion_policies", "portal_types", "templates")
PACKAGES = LINKED[:3]


def python(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter that finds modules in `path` first."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_platform_is_no_package(root: Path) -> None:
    assert not (root / "platform" / "__init__.py").exists()
    assert not (root / "platform.py").exists()


def test_standard_module_platform_is_not_shadowed(root: Path) -> None:
    found = python("import platform; print(platform.__file__, platform.python_version())", root)
    assert found.returncode == 0, found.stderr
    assert not found.stdout.startswith(str(root))


@pytest.mark.parametrize("name", LINKED)
def test_content_folder_is_linked_relatively_into_the_package(root: Path, name: str) -> None:
    link = root / "platform" / "haywain" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{name}"
    assert link.resolve() == (root / name).resolve()
    assert not (root / name).is_symlink()


def test_nothing_else_is_linked(root: Path) -> None:
    links = [p.name for p in (root / "platform").rglob("*") if p.is_symlink()]
    assert sorted(links) == sorted(LINKED)


@pytest.mark.parametrize("name", PACKAGES)
def test_bare_import_of_a_content_folder_raises(root: Path, name: str) -> None:
    found = python(f"import {name}", root)
    assert found.returncode == 1
    assert f"ImportError: Import haywain.{name}, not {name}" in found.stderr


@pytest.mark.parametrize("name", PACKAGES)
def test_bare_import_is_written_nowhere(sources: list[Path], name: str) -> None:
    bare = (f"import {name}", f"from {name}")
    written = [
        f"{path}: {line.strip()}"
        for path in sources
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().split(".")[0].split(" import")[0].rstrip() in bare
    ]
    assert not written


def test_folder_with_modules_is_a_package(root: Path) -> None:
    """A folder without `__init__.py` would escape the check of the layers."""
    modules = (root / "platform" / "haywain").rglob("*.py")
    folders = {path.parent for path in modules} | {root / name for name in PACKAGES}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").exists()]
