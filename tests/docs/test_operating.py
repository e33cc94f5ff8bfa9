"""What an operator reads: each kind of problem that a verification may find is told."""

from pathlib import Path

import pytest

from haywain.store.problem import KINDS

TEXT = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_problem_is_told(kind: str) -> None:
    assert f"`{kind}`" in TEXT
