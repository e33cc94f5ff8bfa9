"""Past: the portal as it was at one moment, to be read.

Nothing is copied: the objects of that moment lie in the storage until a pack takes them away.  Who asks has
the rights of today, but may only look.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, NoReturn

from ZODB.POSException import POSKeyError

from haywain.catalog.past import PastCatalog
from haywain.document import Document, PortalRoot
from haywain.errors import GoneError, InvalidError, NotFoundError
from haywain.portal import Portal, Site
from haywain.security import SYSTEM, User
from haywain.store.database import PortalConnection
from haywain.store.moment import settled, time_of
from haywain.values import Tid


class Past(Portal):
    """A session with the portal as it was.

    `tid` is the moment as a transaction id.  `is_final` is True if a transaction has committed at it or
    later, so that nothing can come to it any more.
    """

    def __init__(self, site: Site, when: str | datetime, user: User = SYSTEM) -> None:
        """Look at a moment; raises InvalidError, GoneError, NotFoundError before there was a portal."""
        with site.open(user) as now:
            packed_until = now.root.packed_until
        self._tid, self.is_final = settled(site.storage, when, packed_until)
        super().__init__(site, replace(user, is_looking=True))
        if not self._has_portal():
            self.close()
            raise NotFoundError(f"There was no portal yet at {self.time:%Y-%m-%dT%H:%M:%SZ}")

    def _has_portal(self) -> bool:
        try:
            return "portal" in self.connection.root()
        except POSKeyError:
            return False

    @property
    def tid(self) -> Tid:
        """The transaction, 16 hexadecimal digits."""
        return Tid(self._tid.hex())

    @property
    def time(self) -> datetime:
        """The moment, in UTC."""
        return time_of(self._tid)

    def _connect(self) -> PortalConnection:
        connection = self.site.database.connect(self.manager, at=self._tid)
        if connection.catalog is None:
            catalog = PastCatalog(self.site.catalog_store, connection, self.site.change_log, self._tid)
            connection.catalog = catalog
        return connection

    @property
    def root(self) -> PortalRoot:
        """The root of the object database, as it was."""
        return super().root

    def __getitem__(self, path: str) -> Document:
        """Return the document that was at a path; raises NotFoundError, GoneError if it is packed away."""
        try:
            return super().__getitem__(path)
        except POSKeyError as error:
            raise GoneError(f"What was at {path[:200]!r} is packed away") from error

    def again(self) -> Portal:
        """Return another session on the same moment."""
        return Past(self.site, self.tid, self.user)

    def _refuse(self) -> NoReturn:
        raise InvalidError("The past cannot be changed; open the portal of today")

    def new(self, portal_type: str, /, id: str | None = None, **properties: Any) -> Document:  # Any: as above
        """Raise InvalidError: the past cannot be changed."""
        self._refuse()

    def delete(self, document: Document) -> None:
        """Raise InvalidError: the past cannot be changed."""
        self._refuse()

    def commit(self) -> Tid:
        """Raise InvalidError: the past cannot be changed."""
        self._refuse()
