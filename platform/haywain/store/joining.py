"""What our data managers need of a transaction beyond its interface: their place in it, and to stay.

It reaches into `transaction` 4 and 5, whose behaviour the tests pin: a resource that joins after a savepoint
is aborted and let go by a rollback to that savepoint.  Views that are alive must be watched on.
"""

from typing import Any


def join(transaction: Any, manager: Any, before: Any) -> None:  # Any: transaction has no types
    """Join; a rollback to a savepoint from before calls `before.rollback()` instead of letting it go."""
    transaction.join(manager)
    for savepoint in transaction._savepoint2index or ():
        savepoint._savepoints = [
            before if getattr(found, "datamanager", None) is manager else found
            for found in savepoint._savepoints
        ]


def put_first(transaction: Any) -> None:  # Any: as above
    """Have what joined last come first: savepoints are taken in that order."""
    transaction._resources.insert(0, transaction._resources.pop())
