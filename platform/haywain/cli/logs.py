"""Where messages of the program go: one line each on stderr."""

import logging

from haywain.errors import DatabaseServerError, HaywainError


def set_up_logs() -> None:
    """Log to stderr from INFO on for our own modules, from WARNING on for others."""
    handler = logging.StreamHandler()
    handler.addFilter(_shortened)
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[handler]
    )
    logging.getLogger("haywain").setLevel(logging.INFO)


def _shortened(record: logging.LogRecord) -> bool:
    """Return whether to log it; where others tell of what we know, their traceback is left out.

    That the database server is gone is said once, not for each object that could not be loaded.
    """
    error = record.exc_info[1] if record.exc_info else None
    if error is None or record.name.startswith("haywain"):
        return True
    if isinstance(error, DatabaseServerError) or type(error).__name__ == "ClientDisconnected":
        return False
    if isinstance(error, HaywainError):
        record.msg, record.args, record.exc_info = "%s", (error.detail,), None
    return True
