"""Errors: each has a status, an exit code and a sentence."""

import pytest

from haywain import errors
from haywain.errors import HaywainError, OffsetError, RangeError, UnknownNameError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HaywainError)]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_error_has_status_exit_code_and_title(kind: type[HaywainError]) -> None:
    assert 400 <= kind.status <= 599 and kind.exit_code in (1, 2, 3, 69, 75, 77, 78) and kind.title


def test_unknown_name_tells_near_ones_or_all() -> None:
    assert "did you mean reference?" in str(UnknownNameError("key", "refrence", ["reference", "title"]))
    assert "known are: a, b" in str(UnknownNameError("key", "zzz", ["b", "a"]))
    assert len(str(UnknownNameError("key", "z" * 100_000, ["a"]))) < 300


def test_errors_carry_what_the_answer_needs() -> None:
    assert OffsetError(1, 2).actual == 2 and RangeError(3).size == 3
