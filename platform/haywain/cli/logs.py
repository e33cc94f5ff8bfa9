"""Where messages of the program go: one line each on stderr."""

import logging

from haywain.errors import DatabaseServerError


def set_up_logs() -> None:
    """Log to stderr from INFO on for our own modules, from WARNING on for others."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("haywain").setLevel(logging.INFO)
    logging.getLogger("ZODB.Connection").addFilter(_tells_something)


def _tells_something(record: logging.LogRecord) -> bool:
    """Return False for each object that could not be loaded since the database server is gone."""
    return not (record.exc_info and isinstance(record.exc_info[1], DatabaseServerError))
