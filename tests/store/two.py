"""Two connections to one array."""

from tests.store.conftest import Begin
from transaction import TransactionManager
from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError

from haywain.store import extents
from haywain.store.array import Array
from haywain.store.database import Database, PortalConnection

PAGE = extents.PAGE
ROWS_PER_BLOCK = 4 * PAGE // 8


class Two:
    """Two connections to one array of 4 Blocks, `i8`; each call begins what was ended."""

    def __init__(self, begin: Begin, database: Database) -> None:
        with database.transaction() as connection:
            connection.root()["array"] = Array(4 * ROWS_PER_BLOCK, "i8")
        self._both = [begin(), begin()]

    def __getitem__(self, number: int) -> Array:
        found = self._both[number][0].root()["array"]
        assert isinstance(found, Array)
        return found

    def commit(self, number: int) -> None:
        try:
            self._both[number][1].commit()
        except (ConflictError, TransientError):
            self._both[number][1].abort()
            raise
        finally:
            self._both[number][1].begin()

    def abort(self, number: int) -> None:
        self._both[number][1].abort()
        self._both[number][1].begin()

    def manager(self, number: int) -> TransactionManager:
        return self._both[number][1]

    def connection(self, number: int) -> PortalConnection:
        return self._both[number][0]
