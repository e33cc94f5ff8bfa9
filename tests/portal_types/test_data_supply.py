"""Data Supply: its time runs forward."""

import pytest

from haywain.errors import InvalidError
from haywain.portal_types.data_supply import DataSupply


@pytest.mark.parametrize("end", ["2026-01-01T00:00:00", "2025-01-01T00:00:00Z", "2026-01-01T02:00:00+03:00"])
def test_end_comes_after_the_beginning(end: str) -> None:
    with pytest.raises(InvalidError, match="later than effective"):
        DataSupply(effective="2026-01-01T00:00:00", expiration=end)
    DataSupply(effective="2024-01-01", expiration=end)
    DataSupply(expiration=end)


def test_time_that_is_over_is_told() -> None:
    assert DataSupply(expiration="2026-01-01").is_expired
    assert not DataSupply(expiration="9999-01-01").is_expired and not DataSupply().is_expired
