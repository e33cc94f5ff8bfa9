"""Passwords: hashed by argon2id, remembered shortly, never beyond a change."""

import pytest

from haywain.errors import InvalidError
from haywain.security import passwords
from haywain.security.passwords import hash_password, is_remembered, verify_password


@pytest.fixture(scope="module")
def stored() -> str:
    return hash_password("correct horse")


def test_hash_is_argon2id_and_salted(stored: str) -> None:
    assert stored.startswith("$argon2id$") and "correct" not in stored
    assert hash_password("correct horse") != stored


def test_work_of_a_guess_is_that_of_rfc_9106() -> None:
    hasher = passwords.PasswordHasher()  # tests hash with less
    assert (hasher.time_cost, hasher.memory_cost, hasher.type.name) == (3, 65_536, "ID")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "short",
        "x" * 1025,
        "hw_looks like a token",
        "half \ud800 a character",
        12345678,
        None,
        ["x"] * 8,
        b"bytes are none",
    ],
    ids=range(9),
)
def test_bad_password_is_refused(bad: object) -> None:
    with pytest.raises(InvalidError):
        hash_password(bad)


def test_only_the_password_is_right(stored: str) -> None:
    assert verify_password(stored, "correct horse")
    for wrong in ("", "correct horse ", "Correct horse", "x" * 1_000_000, "\ud800"):
        assert not verify_password(stored, wrong)


def test_no_or_a_broken_hash_is_never_right() -> None:
    assert not verify_password("", "correct horse")
    assert not verify_password("", "no one has this password")
    assert not verify_password("$argon2id$broken", "correct horse")


def test_remembered_password_costs_no_argon2_and_another_hash_forgets_it(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify_password(stored, "correct horse")
    assert is_remembered(stored, "correct horse")
    monkeypatch.setattr(passwords._hasher.__class__, "verify", lambda *_: pytest.fail("argon2 ran"))
    assert verify_password(stored, "correct horse")
    assert not is_remembered(stored + "x", "correct horse")
    assert not is_remembered(stored, "wrong") and not is_remembered("", "")


def test_unknown_user_takes_the_same_path(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = []
    monkeypatch.setattr(
        passwords._hasher.__class__, "verify", lambda self, stored, password: verified.append(stored) or True
    )
    assert not verify_password("", "anything")
    assert verified and verified[0].startswith("$argon2id$")


def test_memory_is_bounded(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_known", {})
    monkeypatch.setattr(passwords, "_REMEMBERED", 3)
    monkeypatch.setattr(passwords._hasher.__class__, "verify", lambda *_: True)
    assert all(verify_password("hash", f"password {n}") for n in range(10))
    assert len(passwords._known) == 3
