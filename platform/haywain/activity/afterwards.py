"""Afterwards: background work that the portal asks for itself, once a transaction has committed.

`document.activate()` queues in the transaction, which thereby may meet a conflict with a Worker.  Work that
only makes things faster must not do that to whoever appends: it is queued in a transaction of its own, behind
the one that gave the reason.  A process that dies between the two loses it, so whoever misses it asks again.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from haywain.activity.care import want
from haywain.document import Document
from haywain.errors import HaywainError, NotFoundError

if TYPE_CHECKING:
    from haywain.portal import Portal, Site

Work = Callable[[Document], Any]  # Any: not looked at
Needed = Callable[["Site"], bool]

_log = logging.getLogger(__name__)


def activate_afterwards(document: Document, method: str, **options: Any) -> None:  # Any: Options know them
    """Queue a method of a document, as the portal itself, when this transaction has committed.

    Asked twice in one transaction it is queued once; outside of a portal nothing is done.
    """
    _afterwards(document, method, lambda found: found.activate(**options).queue(method, {}))


def want_afterwards(document: Document, kind: str) -> None:
    """Have a kind look at a document (`care.want`), when this transaction has committed.

    Also if it is wanted as this transaction sees it: somebody may forget that who does not see what
    it writes.  Behind the commit it is known, and what is wanted already writes nothing.
    """
    _afterwards(document, f"look of {kind}", lambda found: want(found, kind))


def do_afterwards(document: Document, what: str, work: Work, is_needed: Needed | None = None) -> None:
    """Do something to a document in a transaction of its own, as the portal, when this one has committed.

    `what` is what it is told as; asked twice in one transaction it is done once.  `is_needed` is asked first,
    behind the commit.
    """
    _afterwards(document, what, work, is_needed)


def _afterwards(document: Document, what: str, work: Work, is_needed: Needed | None = None) -> None:
    portal = getattr(document._p_jar, "portal", None)
    if portal is None:
        return
    transaction, asked = portal.manager.get(), (document.uid, what)
    try:
        known = transaction.data(activate_afterwards)
    except KeyError:
        known = set()
        transaction.set_data(activate_afterwards, known)
    if asked not in known:
        known.add(asked)
        arguments = (portal.site, document.path, document.uid, what, work, is_needed)
        transaction.addAfterCommitHook(_do, arguments)


def _do(
    is_committed: bool,
    site: "Site",
    path: str,
    uid: int,
    what: str,
    work: Work,
    is_needed: Needed | None = None,
) -> None:
    def on_document(portal: "Portal") -> None:
        document = portal[path]
        if document.uid == uid:
            work(document)

    if not is_committed or (is_needed is not None and not is_needed(site)):
        return
    try:
        site.transact(on_document)
    except NotFoundError:
        pass  # it was deleted meanwhile
    except (HaywainError, OSError) as error:
        _log.warning("%s of %s is not queued: %s", what, path, error)
