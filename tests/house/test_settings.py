"""Settings: each is told in the docs, and what the docs tell exists."""

import re
from pathlib import Path

import pytest

from haywain.settings import Settings

CLIENT = {"HAYWAIN_URL", "HAYWAIN_TOKEN"}  # of the client's commands, which know no portal's settings
NAME = re.compile(r"\bHAYWAIN_[A-Z][A-Z_]*[A-Z]\b")
SERVER = {f"HAYWAIN_{name.upper()}" for name in Settings.model_fields}


@pytest.fixture(scope="module")
def written(root: Path) -> set[str]:
    """Every variable that the code names."""
    modules = (root / "platform").rglob("*.py")
    return {name for path in modules for name in NAME.findall(path.read_text(encoding="utf-8"))}


def test_every_setting_is_documented(prose: str, written: set[str]) -> None:
    missing = (SERVER | written) - set(NAME.findall(prose))
    assert not missing


def test_every_documented_setting_exists(prose: str) -> None:
    unknown = set(NAME.findall(prose)) - SERVER - CLIENT
    assert not unknown


def test_code_names_no_other_variable(written: set[str]) -> None:
    """Variables go through `settings`, so that flags, environment and ini file agree."""
    unknown = written - SERVER - CLIENT
    assert not unknown
