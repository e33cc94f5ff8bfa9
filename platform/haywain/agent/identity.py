"""Who sends: the producer that a spool is, and its epoch."""

import json
import time
import uuid
from pathlib import Path

import msgspec

from haywain.errors import CorruptDataError
from haywain.store.fsync import write_durably

EPOCHS_APART = 1 << 20
"""Between the epochs of two starts there is room for those that gaps make begin."""


class Identity(msgspec.Struct):
    """What the file `producer.json` of a spool holds.

    `account` is for whom frames are numbered: the portal, and the token's hash or the login.  Acknowledged
    frames in segments before `first_segment` were for another one: they are never sent again.
    """

    id: str
    epoch: int = 0
    account: str = ""
    first_segment: int = 0

    def begin_epoch(self, last: int) -> None:
        """Take an epoch larger than all before; by the clock, so that no copy of the spool takes the same."""
        self.epoch = max(time.time_ns() // 1000, max(last, self.epoch) + EPOCHS_APART)

    def save(self, folder: Path) -> None:
        """Write it durably; raises OSError."""
        write_durably(folder / "producer.json", msgspec.json.encode(self), 0o600)


def identity_of(folder: Path) -> Identity | None:
    """Return who a spool is; None if it is new.  Raises CorruptDataError."""
    path = folder / "producer.json"
    try:
        return msgspec.convert(json.loads(path.read_bytes()), Identity)
    except FileNotFoundError:
        return None
    except (ValueError, msgspec.ValidationError) as error:
        raise CorruptDataError(
            f"{path} is damaged ({error}): move the folder away, and the agent begins anew"
        ) from error


def new_identity(account: str) -> Identity:
    """Return that of a new spool."""
    return Identity(uuid.uuid4().hex, account=account)
