"""Imports stay light: a notebook or a device pays for what it uses only."""

import importlib.util
import json
import subprocess
import sys

import pytest

HEAVY = {
    "BTrees",
    "ZEO",
    "ZODB",
    "celery",
    "persistent",
    "pydantic",
    "pyramid",
    "scipy",
    "sklearn",
    "sqlalchemy",
}
LIGHT = [
    name
    for name in ("haywain", "haywain.cli", "haywain.client")
    if importlib.util.find_spec(name) is not None
]


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


def test_heavy_import_would_be_seen() -> None:
    assert "ZODB" in loaded("import ZODB")
