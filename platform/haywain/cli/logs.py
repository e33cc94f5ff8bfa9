"""Where messages of the program go: one line each on stderr."""

import logging


def set_up_logs() -> None:
    """Log to stderr from INFO on for our own modules, from WARNING on for others."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("haywain").setLevel(logging.INFO)
