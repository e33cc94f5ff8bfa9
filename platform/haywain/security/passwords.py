"""Passwords: argon2id, and a short memory so that an agent's request does not pay 0.3 s each time."""

import hashlib
import hmac
import os
import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from haywain.errors import InvalidError

LEAST_LENGTH = 8
"""Fewest characters of a password."""

MOST_LENGTH = 1024
"""Most characters of a password."""

TOKEN_PREFIX = "hw_"  # noqa: S105  # by which a token is told from a password
"""What the secret of each token begins with."""

_REMEMBERED = 1000
_hasher = PasswordHasher()  # argon2id with the parameters of RFC 9106, low memory
_key = os.urandom(32)  # of this process: what is remembered is worth nothing outside
_known: dict[bytes, str] = {}
_lock = threading.Lock()
_slots = threading.BoundedSemaphore(2)  # each verification takes 64 MiB, and a core


@cache
def _dummy() -> str:
    """Return a hash to verify against where there is none, so that an unknown user takes as long."""
    return _hasher.hash("no one has this password")


def hash_password(password: object) -> str:
    """Return the argon2id hash of a password; raises InvalidError if it is too short or too long."""
    if not isinstance(password, str) or not LEAST_LENGTH <= len(password) <= MOST_LENGTH:
        raise InvalidError(f"A password has {LEAST_LENGTH} to {MOST_LENGTH} characters")
    if password.startswith(TOKEN_PREFIX):
        raise InvalidError(f"A password does not begin with {TOKEN_PREFIX}, as tokens do")
    try:
        with _slots:
            return _hasher.hash(password)
    except UnicodeEncodeError:
        raise InvalidError("A password is a text, without half characters") from None


def is_remembered(stored: str, password: str) -> bool:
    """Return whether this password was verified against this hash of late."""
    return bool(stored) and _known.get(_digest(stored, password)) == stored


def verify_password(stored: str, password: str) -> bool:
    """Return whether a password is the one; as slow for an unknown user (stored is "") as for a known one."""
    if is_remembered(stored, password):
        return True
    try:
        with _slots:
            if is_remembered(stored, password):  # verified for another request that came with this one
                return True
            _hasher.verify(stored or _dummy(), password[: MOST_LENGTH + 1])
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
    if not stored:
        return False
    with _lock:
        if len(_known) >= _REMEMBERED:
            _known.pop(next(iter(_known)))
        _known[_digest(stored, password)] = stored
    return True


def _digest(stored: str, password: str) -> bytes:
    return hmac.new(
        _key, f"{stored}\0{password[: MOST_LENGTH + 1]}".encode("utf-8", "surrogatepass"), hashlib.sha256
    ).digest()
