"""Pages of what a Data Analysis reads and makes, and its own."""

import pytest
from tests.activity.conftest import drain
from tests.portal_types.analyses.conftest import TO_ROWS, make_transformation
from tests.web.pages.conftest import Browser

from haywain.ingestion.delivery import deliver
from haywain.ingestion.request import Request
from haywain.portal import Site
from haywain.portal_types.data_analysis import DataAnalysis
from haywain.security import User

AGENT = User("agent", frozenset({"Agent"}))


@pytest.fixture(scope="module")
def analysis(site: Site) -> str:
    """The path of a Data Analysis that has run."""
    site.transact(lambda p: make_transformation(p, TO_ROWS, ("vibration",), "rows"))
    deliver(site, Request("default", b"t.vibration", bytes(80), user=AGENT))
    drain(site)
    with site.open() as portal:
        [path] = [f"data_analysis_module/{id}" for id in portal.root["data_analysis_module"].documents]
    return path


def test_pages_of_what_it_reads_and_makes_are_there(manager: Browser, site: Site, analysis: str) -> None:
    """They list the Alerts that watch them, and it is none."""
    with site.open() as portal:
        found = portal[analysis]
        assert isinstance(found, DataAnalysis)
        paths = [found.inputs()[0].document.path, found.outputs()[0].path]
    for path in paths:
        assert "Alerts" in manager.get(f"/{path}").text
