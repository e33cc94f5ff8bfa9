"""`haywain serve` with a transaction for each request: what the group commit is measured against."""

from collections.abc import Callable
from typing import Any

from haywain.cli import main
from haywain.portal import Portal, Site
from haywain.security import User
from haywain.values import Tid


def alone(
    site: Site, work: Callable[[Portal], Any], user: User, lock: str, size_bytes: int
) -> tuple[Any, Tid]:
    """Do what `Site.together` does, with nobody else."""
    return site.transact(work, user, lock)


if __name__ == "__main__":
    Site.together = alone  # type: ignore[method-assign, assignment]
    main()
