"""What others log of errors that we know is one line, or nothing."""

import logging

import pytest

from haywain.cli.logs import _shortened
from haywain.errors import DatabaseServerError, DataDirectoryInUseError


def logged(name: str, error: Exception) -> logging.LogRecord:
    return logging.LogRecord(
        name, logging.ERROR, "x.py", 1, "trouble with %s", ("x",), (type(error), error, None)
    )


@pytest.mark.parametrize(
    ("name", "error", "is_told"),
    [
        ("ZODB.Connection", DatabaseServerError("gone"), False),
        ("txn.7", DatabaseServerError("gone"), False),
        ("haywain.web", DatabaseServerError("gone"), True),
        ("ZODB.Connection", ValueError("a fault"), True),
    ],
    ids=["an object", "a commit", "ours", "a fault"],
)
def test_that_the_server_is_gone_is_said_once(name: str, error: Exception, is_told: bool) -> None:
    record = logged(name, error)
    assert _shortened(record) == is_told
    assert not is_told or record.exc_info is not None


def test_a_refusal_is_one_line() -> None:
    record = logged("ZEO.asyncio.server", DataDirectoryInUseError("a pack is under way"))
    assert _shortened(record) and record.getMessage() == "a pack is under way" and record.exc_info is None
