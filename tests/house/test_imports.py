"""Imports: light where a notebook or a device pays for them, and declared in setup.py."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEAVY = {"BTrees", "ZEO", "ZODB", "celery", "persistent", "pydantic", "pyramid", "scipy", "sqlalchemy"}
NAMES = ("haywain", "haywain.cli", "haywain.client", "haywain.forward")
LIGHT = [name for name in NAMES if importlib.util.find_spec(name) is not None]


def loaded(code: str) -> set[str]:
    """Return the top-level modules in a new interpreter after running code."""
    report = "; import json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], check=True, capture_output=True, text=True, timeout=30
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", LIGHT)
def test_import_loads_nothing_heavy(name: str) -> None:
    assert not loaded(f"import {name}") & HEAVY


def test_what_an_agent_listens_with_loads_no_numpy() -> None:
    assert "numpy" not in loaded("import haywain.forward")


def test_a_portal_without_a_broker_loads_no_celery() -> None:
    found = loaded("import haywain.app, haywain.cli.serve; haywain.app.open_site")
    assert not found & {"celery", "kombu", "billiard", "redis"}
    assert "celery" in loaded("from haywain.app import celery")


def test_heavy_import_would_be_seen() -> None:
    assert "ZODB" in loaded("import ZODB")


def imported(path: Path) -> set[str]:
    """Return the top-level names of what is not in the standard library nor ours."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"haywain", "tests"}


def declared(*extras: str) -> set[str]:
    """Return the distributions that setup.py names, for everybody or in these extras."""
    rows = [Requirement(line) for line in requires("haywain") or []]
    return {
        canonicalize_name(row.name)
        for row in rows
        if row.marker is None or any(row.marker.evaluate({"extra": extra}) for extra in extras)
    }


def undeclared(paths: list[Path], known: set[str]) -> list[str]:
    brought_by = packages_distributions()
    return [
        f"{path}: {name}"
        for path in paths
        for name in imported(path)
        if not known & {canonicalize_name(found) for found in brought_by.get(name, [])}
    ]


def test_package_imports_only_what_setup_declares(root: Path, kinds: list[Path]) -> None:
    modules = sorted((root / "platform" / "haywain").rglob("*.py"))
    assert not undeclared([*modules, *kinds], declared("server", "science"))


def test_tests_import_only_what_setup_declares(root: Path) -> None:
    assert not undeclared(sorted((root / "tests").rglob("test_*.py")), declared("server", "test", "check"))


def test_package_uses_what_setup_declares(root: Path, kinds: list[Path]) -> None:
    """By import, or by name as in `config.include("pyramid_tm")`."""
    modules = [*(root / "platform" / "haywain").rglob("*.py"), *kinds]
    words = {word for path in modules for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    brought = {
        canonicalize_name(found): name for name, all_ in packages_distributions().items() for found in all_
    }
    unused = {name for name in declared("server") if brought.get(name, name) not in words}
    assert unused == {"setuptools"}  # Pyramid's pkg_resources


def test_opening_a_portal_loads_no_science_but_tells_joblib_of_the_backend() -> None:
    code = (
        "import sys, tempfile, haywain\n"
        "with tempfile.TemporaryDirectory() as where, haywain.open(where + '/var') as portal:\n"
        "    assert not {'cloudpickle', 'joblib', 'skops', 'sklearn'} & set(sys.modules)\n"
        "    import joblib\n"
        "    assert 'haywain' in joblib.parallel.BACKENDS and 'haywain.parallel' not in sys.modules\n"
        "    joblib.parallel_config(backend='haywain', portal=portal)\n"
    )
    assert "joblib" in loaded(code + "pass")


def test_a_portal_that_serves_loads_no_science() -> None:
    """Nor the kinds of content, which are all imported as it starts."""
    code = "import haywain.app; from haywain.registry import load_registry; load_registry()"
    assert not loaded(code) & {"celery", "cloudpickle", "joblib", "skops", "sklearn"}
