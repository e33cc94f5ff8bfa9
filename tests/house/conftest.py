"""What the guards look at."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTENT = ("activities", "ingestion_policies", "portal_types")


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's own folder."""
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Every file of the project: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in found if path.is_file() and not path.is_symlink()]


@pytest.fixture(scope="session")
def sources(files: list[Path]) -> list[Path]:
    """Every Python file of the project."""
    return [path for path in files if path.suffix == ".py"]


@pytest.fixture(scope="session")
def kinds() -> list[Path]:
    """Every content file: one kind each."""
    return [path for folder in CONTENT for path in sorted((ROOT / folder).glob("[!_]*.py"))]


@pytest.fixture(scope="session")
def prose(root: Path) -> str:
    """The README and all of docs/, as one text."""
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)
