"""`POST /api/v1/pack`."""

from collections.abc import Callable

import pytest
from webtest import TestApp

from haywain.portal import Site
from haywain.store.pack_lock import reading

Client = Callable[..., TestApp]


def test_a_pack_is_for_managers(program: Client) -> None:
    assert program("editor").post("/api/v1/pack", expect_errors=True).status_int == 403
    told = program("manager").post("/api/v1/pack?days=3").json
    assert told["after"]["live_bytes"] > 0 and told["until"] < told["finished"]


@pytest.mark.parametrize("days", ["-1", "x", "1.5", "99999"])
def test_days_that_make_no_sense_are_400(program: Client, days: str) -> None:
    answer = program("manager").post(f"/api/v1/pack?days={days}", expect_errors=True)
    assert answer.status_int == 400 and "whole number" in answer.json["detail"]


def test_a_pack_beside_a_backup_is_asked_to_come_again(program: Client, site: Site) -> None:
    with reading(site.path):
        answer = program("manager").post("/api/v1/pack", expect_errors=True)
    assert answer.status_int == 503 and "try again" in answer.json["detail"]
