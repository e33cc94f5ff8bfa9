"""Wendelin's policy: sensor.product."""

import pytest

from haywain.ingestion_policies.wendelin import Wendelin


@pytest.mark.parametrize(
    ("tag", "product", "supply"),
    [
        ("turbine.speed", "speed", "turbine"),
        ("a.b.c", "b.c", "a"),
        ("plain", "plain", "plain"),
        (".a", ".a", ".a"),
        ("a.", "a.", "a."),
        ("...", "...", "..."),
        (" . ", " ", " "),
    ],
)
def test_route(tag: str, product: str, supply: str) -> None:
    route = Wendelin().route(tag)
    assert route is not None
    assert (route.sink, route.product, route.supply, route.portal_type) == (
        tag,
        product,
        supply,
        "Data Stream",
    )
