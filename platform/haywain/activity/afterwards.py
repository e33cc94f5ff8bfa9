"""Afterwards: background work that the portal asks for itself, once a transaction has committed.

`document.activate()` queues in the transaction, which thereby may meet a conflict with a Worker.  Work that
only makes things faster must not do that to whoever appends: it is queued in a transaction of its own, behind
the one that gave the reason.  A process that dies between the two loses it, so whoever misses it asks again.
"""

import logging
from typing import TYPE_CHECKING, Any

from haywain.document import Document
from haywain.errors import HaywainError, NotFoundError

if TYPE_CHECKING:
    from haywain.portal import Portal, Site

_log = logging.getLogger(__name__)


def activate_afterwards(document: Document, method: str, **options: Any) -> None:  # Any: Options know them
    """Queue a method of a document, as the portal itself, when this transaction has committed.

    Asked twice in one transaction it is queued once; outside of a portal nothing is done.
    """
    portal = getattr(document._p_jar, "portal", None)
    if portal is None:
        return
    transaction, asked = portal.manager.get(), (document.uid, method)
    try:
        known = transaction.data(activate_afterwards)
    except KeyError:
        known = set()
        transaction.set_data(activate_afterwards, known)
    if asked not in known:
        known.add(asked)
        arguments = (portal.site, document.path, document.uid, method, options)
        transaction.addAfterCommitHook(_queue, arguments)


def _queue(
    is_committed: bool, site: "Site", path: str, uid: int, method: str, options: Any
) -> None:  # Any: as above
    def work(portal: "Portal") -> None:
        document = portal[path]
        if document.uid == uid:
            document.activate(**options).queue(method, {})

    if not is_committed:
        return
    try:
        site.transact(work)
    except NotFoundError:
        pass  # it was deleted meanwhile
    except (HaywainError, OSError) as error:
        _log.warning("%s of %s is not queued: %s", method, path, error)
