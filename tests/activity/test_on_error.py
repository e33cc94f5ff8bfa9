"""`on_error`: what is queued, in the transaction that marks an activity failed, however it failed."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.activity.conftest import claim, drain, record_of
from tests.conftest import Clock

from haywain.activity.ending import end_interrupted
from haywain.activity.guard import OverLimit
from haywain.activity.job import Job
from haywain.activity.kind import Kind, NoParameters, Work
from haywain.activity.outbox import Outbox
from haywain.activity.sweeper import sweep
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.security import User

Whats = dict[str, Callable[[Work], Any]]


class Tell(Kind):
    """Return what it was told of a failure."""

    class _Parameters(NoParameters):
        activity: str
        error: str
        loud: bool = True

    name, title, portal_types, parameters = "tell", "Tell", ("Data Stream",), _Parameters

    def run(self, work: Work) -> Iterator[float]:
        yield 0.5
        return work.parameters.model_dump() | {"user": work.portal.user.login}


@pytest.fixture(autouse=True)
def tell(site: Site) -> None:
    site.registry.activities["tell"] = Tell()


def followed_by(portal: Portal, job: Job) -> Job:
    """Return what follows a failed activity; both are of one transaction."""
    record, following = record_of(portal, job.id), record_of(portal, job.as_dict()["followed_by"])
    assert record.state == "failed" and record._p_serial == following._p_serial
    return portal.job(following.id)


def test_failure_queues_it_with_the_id_and_the_error(
    site: Site, portal: Portal, stream: Document, whats: Whats, set_clock: Clock
) -> None:
    def work(work: Work) -> None:
        raise RuntimeError("odd")

    whats["work"] = work
    job = stream.activate(on_error="tell", max_retries=1, priority=3).call(what="work")
    portal.commit()
    drain(site)
    assert (job.state, job.as_dict()["followed_by"]) == ("queued", None)  # it is tried again first
    set_clock.forward(60)
    site.workers.run_next()
    following = followed_by(portal, job)
    assert (following.state, following.as_dict()["priority"]) == ("queued", 3)
    told = {"activity": job.id, "error": "RuntimeError: odd", "loud": True, "user": "system"}
    assert following.wait().result == told
    job.retry()
    assert job.as_dict()["followed_by"] is None and job.as_dict()["on_error"] == "tell"


def test_it_runs_as_the_same_user(site: Site, portal: Portal, stream: Document, whats: Whats) -> None:
    def work(work: Work) -> None:
        raise ValueError("odd")

    def ask(portal: Portal) -> str:
        return str(portal[stream.path].activate(on_error="tell").call(what="work").id)

    whats["work"] = work
    portal.new("Person", reference="ana", roles=("Analyst",))
    portal.commit()
    id, _ = site.transact(ask, User("ana", frozenset({"Analyst"})))
    job = portal.job(id).wait()
    assert followed_by(portal, job).wait().result["user"] == "ana"


def over_a_limit(site: Site, portal: Portal, job: Job) -> None:
    end_interrupted(site, claim(site, site.workers.process, job.id).guard, OverLimit("It ran too long"))


def dead(site: Site, portal: Portal, job: Job) -> None:
    for number in range(3):
        claim(site, f"dead {number}", job.id)
        sweep(site.workers)


def deadlocked(site: Site, portal: Portal, job: Job) -> None:
    stream = portal[job.as_dict()["path"]]
    stream.activate(tag="two", after_tag="one").write()
    stream.activate(tag="one", after_tag="two", on_error="tell").write()
    portal.commit()
    drain(site)
    sweep(site.workers)


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (over_a_limit, "It ran too long"),
        (dead, "3 Workers died"),
        (deadlocked, "none of them can run before"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_way_to_fail_queues_it(
    site: Site, portal: Portal, stream: Document, end: Callable[[Site, Portal, Job], None], error: str
) -> None:
    job = stream.activate(on_error="tell").write()
    portal.commit()
    end(site, portal, job)
    portal.abort()
    outbox = Outbox.of(portal.root)
    (failed,) = [entry for shard in outbox.shards for entry in shard.places("failed")]
    following = followed_by(portal, portal.job(failed[2]))
    assert error in following.wait().result["error"]


def test_what_is_cancelled_has_not_failed(site: Site, portal: Portal, stream: Document) -> None:
    job = stream.activate(on_error="tell").write()
    portal.commit()
    job.cancel()
    drain(site)
    assert (job.state, job.as_dict()["followed_by"]) == ("cancelled", None)


def test_without_its_document_the_failure_is_noted_all_the_same(
    site: Site, portal: Portal, stream: Document, caplog: pytest.LogCaptureFixture
) -> None:
    job = stream.activate(on_error="tell").write()
    portal.commit()
    portal.delete(stream)
    portal.commit()
    with caplog.at_level(logging.WARNING):
        job.wait()
    assert (job.state, job.as_dict()["followed_by"]) == ("failed", None)
    assert f"tell is not queued after the failure of {job.id}: There is nothing at" in caplog.text


@pytest.mark.parametrize(
    ("name", "why"),
    [("tel", "did you mean tell"), ("write", "activity: is not known here"), ("x" * 300, "on_error")],
    ids=["unknown", "other parameters", "too long"],
)
def test_what_could_not_be_queued_is_refused_at_once(stream: Document, name: str, why: str) -> None:
    with pytest.raises(InvalidError, match=why):
        stream.activate(on_error=name).write()


def test_what_the_user_may_not_run_is_refused_at_once(site: Site, portal: Portal, stream: Document) -> None:
    Tell.permission, before = "manage", Tell.permission
    try:
        with pytest.raises(InvalidError, match="ana may not manage"):
            site.transact(
                lambda p: p[stream.path].activate(on_error="tell").write(),
                User("ana", frozenset({"Analyst"})),
            )
    finally:
        Tell.permission = before
