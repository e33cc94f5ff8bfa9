"""Settings: each is told in the docs, and what the docs tell exists."""

import re
from pathlib import Path

from haywain.settings import Settings

CLIENT = {"HAYWAIN_URL", "HAYWAIN_TOKEN"}  # read by the client's commands, not by the portal
NAME = re.compile(r"\bHAYWAIN_[A-Z][A-Z_]*[A-Z]\b")


def settings() -> set[str]:
    return {f"HAYWAIN_{name.upper()}" for name in Settings.model_fields} | CLIENT


def test_every_setting_is_documented(prose: str) -> None:
    assert not settings() - set(NAME.findall(prose))


def test_every_documented_setting_exists(prose: str) -> None:
    assert not set(NAME.findall(prose)) - settings()


def test_code_reads_no_other_variable(root: Path) -> None:
    """Variables go through `settings`, so that flags, environment and ini file agree."""
    read = {
        name
        for path in (root / "platform").rglob("*.py")
        for name in NAME.findall(path.read_text(encoding="utf-8"))
    }
    assert not read - settings()
