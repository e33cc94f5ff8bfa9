"""Checksums that a sender announces for a body: `Upload-Checksum` of tus, hashed as the bytes come."""

import base64
import binascii
import hashlib
import hmac

from haywain.errors import ChecksumError, InvalidError

ALGORITHMS = ("sha1", "sha256", "md5")
"""What a sender may choose from; against accidents, not against people."""


class Checksum:
    """What a body must hash to, and what it does so far."""

    def __init__(self, header: str) -> None:
        """Take `ALGORITHM BASE64`; raises InvalidError."""
        name, _, value = header.strip().partition(" ")
        if name not in ALGORITHMS:
            raise InvalidError(f"Upload-Checksum: {name[:40]!r} is not known; use {', '.join(ALGORITHMS)}")
        self.algorithm = name
        self._hash = hashlib.new(name, usedforsecurity=False)
        try:
            self._expected = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):  # also what is no ASCII
            raise InvalidError("Upload-Checksum: the hash is no base64") from None
        if len(self._expected) != self._hash.digest_size:
            raise InvalidError(f"Upload-Checksum: a hash of {name} has {self._hash.digest_size} bytes")

    def update(self, data: bytes) -> None:
        """Hash more bytes."""
        self._hash.update(data)

    def check(self) -> None:
        """Raise ChecksumError if the bytes are not those that were sent."""
        if not hmac.compare_digest(self._hash.digest(), self._expected):
            raise ChecksumError(
                f"The bytes do not have the {self.algorithm} that was sent with them; they were dropped, send"
                " them again"
            )
