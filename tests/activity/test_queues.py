"""Queues: only Workers that take one run what is in it; the places of the default one are as they were."""

from typing import Any

import pytest
from tests.activity.conftest import Make, Write, drain, record_of

from haywain.activity.kind import Kind, activity
from haywain.activity.listing import Wanted, list_activities
from haywain.activity.outbox import Outbox
from haywain.activity.sweeper import sweep
from haywain.errors import DataDirectoryError
from haywain.portal import Portal
from haywain.security import SYSTEM
from haywain.settings import load


class Gpu(Write):
    """Write, but in a queue of its own."""

    name, title, queue = "gpu_write", "Write on a GPU", "gpu"


def opened(make_site: Make, **settings: Any) -> Portal:
    """Return a portal with an activity in each of two queues, made in this order: gpu, default."""
    site = make_site(**settings)
    site.registry.activities["gpu_write"] = Gpu()
    portal = site.open()
    stream = portal.new("Data Stream", reference="queues")
    portal.gpu = stream.activate(tag="gpu").gpu_write(text="g")  # type: ignore[attr-defined]
    portal.job = stream.activate().write(text="d")  # type: ignore[attr-defined]
    portal.commit()
    return portal


def states(portal: Any) -> tuple[str, str]:
    return portal.gpu.state, portal.job.state


@pytest.mark.parametrize(
    ("queues", "expected"),
    [
        pytest.param("", ("done", "done"), id="all"),
        pytest.param("gpu", ("done", "queued"), id="one"),
        pytest.param("default,cpu", ("queued", "done"), id="others"),
    ],
)
def test_workers_run_what_is_in_their_queues(make_site: Make, queues: str, expected: tuple[str, str]) -> None:
    portal = opened(make_site, queues=queues)
    drain(portal.site)
    assert states(portal) == expected
    portal.close()


def test_the_places_of_the_default_queue_are_those_of_old_databases(make_site: Make) -> None:
    portal: Any = opened(make_site)
    outbox = Outbox.of(portal.root)
    found = [record_of(portal, job.id).place for job in (portal.gpu, portal.job)]
    assert found == [("ready gpu", 0), ("ready", 0)]
    listed = list_activities(outbox, SYSTEM, Wanted(state="queued"))
    assert {record.id for record in listed.items} == {portal.gpu.id, portal.job.id}
    assert outbox.ready_for_others() == {"gpu": [portal.gpu.id], "default": [portal.job.id]}
    assert not outbox.is_stuck()
    portal.close()


def test_what_is_made_first_runs_first_whatever_its_queue(make_site: Make) -> None:
    portal: Any = opened(make_site)
    urgent = next(iter(portal.catalog(reference="queues"))).activate(priority=1).write(text="u")
    portal.commit()
    order = []
    while record := Outbox.of(portal.root).next_ready():
        order.append(record.id)
        Outbox.of(portal.root).claim(record, "test")
    assert order == [urgent.id, portal.gpu.id, portal.job.id]
    portal.close()


def test_what_waits_for_another_queue_is_let_through(make_site: Make) -> None:
    portal: Any = opened(make_site)
    stream = next(iter(portal.catalog(reference="queues")))
    after = stream.activate(after_tag="gpu", serialization_tag="one").gpu_write(text="a")
    portal.commit()
    assert record_of(portal, after.id).state == "queued"
    drain(portal.site)
    sweep(portal.site.workers)
    portal.abort()
    assert after.state == "done" and stream.read() in (b"gda", b"dga")
    portal.close()


def test_a_queue_has_a_plain_name() -> None:
    with pytest.raises(ValueError, match="a queue is named by"):
        activity(queue="no name")
    with pytest.raises(ValueError, match="a queue is named by"):
        type("Bad", (Kind,), {"queue": "A"})
    with pytest.raises(DataDirectoryError, match="'queues' cannot be used"):
        load(queues="a,,b")


def test_a_method_may_have_a_queue_of_its_own() -> None:
    @activity(queue="gpu")
    def method() -> None: ...

    @activity
    def other() -> None: ...

    assert method.__dict__["activity_queue"] == "gpu" and other.__dict__["activity_queue"] == "default"
