"""Words that stand in no file: where it was written, and work left without an issue."""

import re
from pathlib import Path

PLACE = re.compile(r"(?<![\w.${}*-])/(?:home/\w|Users/\w|root/|work[/])")
UNFILED = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b(?!\(#\d+\))")


def text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def found(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    return [f"{path}: {match[0]}" for path in files for match in pattern.finditer(text(path))]


def test_no_file_names_a_place_of_its_author(files: list[Path]) -> None:
    assert not found(PLACE, [path for path in files if path != Path(__file__)])


def test_no_file_names_its_own_checkout(files: list[Path], root: Path) -> None:
    assert not found(re.compile(re.escape(f"{root}/")), files)


def test_work_left_names_its_issue(sources: list[Path]) -> None:
    """As in `TODO(#12): what`."""
    assert not found(UNFILED, [path for path in sources if path != Path(__file__)])
