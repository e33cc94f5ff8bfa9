"""Who acts in an activity and on what: rights and documents are those of each step."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.activity.conftest import Make, content

from haywain.activity.kind import Work
from haywain.document import Document
from haywain.errors import NotFoundError
from haywain.portal import Portal, Site

Whats = dict[str, Callable[[Work], Any]]


def ann(site: Site, stream: Document, text: str = "x") -> Any:
    """Return a job that a person asked for."""
    site.transact(lambda p: p.new("Person", reference="ann", password="long enough", roles=("Analyst",)))

    def queue(portal: Portal) -> str:
        portal.user = portal["person_module/ann"].user()  # type: ignore[attr-defined]
        return portal[stream.path].activate().write(text=text).id

    return site.open().job(site.transact(queue)[0])


def lock(account: Document) -> None:
    account.state = "invalidated"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: lock(p["person_module/ann"]), "locked or gone"),
        (lambda p: p.delete(p["person_module/ann"]), "locked or gone"),
        (lambda p: p["person_module/ann"].edit(roles=("Viewer",)), "may not activity"),
        (lambda p: p["person_module/ann"].edit(roles=()), "may not view"),
    ],
    ids=["locked", "gone", "a Viewer by now", "nothing by now"],
)
def test_rights_are_those_of_the_moment_it_runs(
    site: Site, stream: Document, change: Callable[[Portal], None], message: str
) -> None:
    job = ann(site, stream)
    site.transact(change)
    job.wait()
    assert job.state == "failed" and message in job.error
    job._portal.close()


def test_activity_of_a_revoked_token_fails(site: Site, stream: Document) -> None:
    token, _ = site.transact(lambda p: p.new("Token", login="admin", scopes=("activity",)).path)

    def queue(portal: Portal) -> list[str]:
        portal.user = portal[token].user_of(portal.root)  # type: ignore[attr-defined]
        return [portal[stream.path].activate().write().id for _ in "ab"]

    (first, second), _ = site.transact(queue)
    site.workers.run_next()
    site.transact(lambda p: lock(p[token]))
    with site.open() as portal:
        assert portal.job(first).state == "done"
        assert "expired or revoked" in (portal.job(second).wait().error or "")


def test_document_that_is_gone_fails(site: Site, portal: Portal, stream: Document) -> None:
    job = stream.activate().write()
    portal.commit()
    portal.delete(portal[stream.path])
    portal.commit()
    job.wait()
    assert job.state == "failed" and "nothing at" in (job.error or "")


def test_another_document_at_the_path_is_left_alone(site: Site, portal: Portal) -> None:
    made = portal.new("Data Stream", id="place")
    job = made.activate().write()
    portal.commit()
    portal.delete(portal["data_stream_module/place"])
    portal.new("Data Stream", id="place")
    portal.commit()
    job.wait()
    assert job.state == "failed" and "Another document" in (job.error or "")


GADGET = '''"""A Portal Type of this directory alone."""

from haywain.document import Document


class Gadget(Document):
    """A document."""

    portal_type, module_id = "Gadget", "gadget_module"
'''


def test_document_of_a_class_that_is_gone_fails_alone(
    make_site: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record is the first in the queue, and what comes after it runs all the same."""
    make_site().close()
    file = tmp_path / "var" / "portal_types" / "gadget.py"
    file.parent.mkdir()
    file.write_text(GADGET)
    site = make_site()
    site.registry.activities["write"].portal_types = ("Data Stream", "Gadget")  # type: ignore[misc]
    with site.open() as portal:
        first = portal.new("Gadget").activate().write()
        second = portal.new("Data Stream").activate().write()
        portal.commit()
    monkeypatch.delitem(sys.modules, site.registry.portal_type("Gadget").__module__)
    site.close()
    file.unlink()
    with make_site().open() as portal:
        assert portal.job(second.id).wait(20).state == "done"
        failed = portal.job(first.id)
        assert failed.state == "failed" and "Gadget, the class of gadget_module/" in (failed.error or "")


def test_document_that_is_deleted_between_two_steps_is_not_written_on(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    began: list[str] = []

    def work(work: Work) -> Iterator[float]:
        work.document.append(b"1")  # type: ignore[attr-defined]
        work.portal.commit()  # as the runner does it behind the step's last line
        site.transact(lambda p: p.delete(p[stream.path]))
        yield 0.5
        began.append("the next step")

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    job.wait()
    assert began == []
    assert job.state == "failed" and f"nothing at '{stream.path}'" in (job.error or "")
    assert len(portal.catalog(portal_type="Data Stream")) == 0


def test_document_that_is_deleted_during_a_step_is_not_written_on(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    """Both saw it there, and the deletion was committed first."""

    def work(work: Work) -> None:
        work.document.append(b"1")  # type: ignore[attr-defined]
        site.transact(lambda p: p.delete(p[stream.path]))

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    job.wait()
    assert job.state == "failed" and f"nothing at '{stream.path}'" in (job.error or "")
    assert len(portal.catalog(portal_type="Data Stream")) == 0


def test_deleted_document_takes_no_more(portal: Portal, stream: Document) -> None:
    portal.delete(stream)
    with pytest.raises(NotFoundError, match="was deleted"):
        stream.edit(title="ghost")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: lock(p["person_module/ann"]), "locked or gone"),
        (lambda p: p["person_module/ann"].edit(roles=("Viewer",)), "may not activity"),
    ],
    ids=["locked", "a Viewer by now"],
)
def test_rights_are_looked_at_before_each_step(
    site: Site, stream: Document, change: Callable[[Portal], None], message: str
) -> None:
    job = ann(site, stream, text="ab")
    write = site.registry.activities["write"]
    run = write.run

    def changing(work: Work) -> Iterator[float]:
        for progress in run(work):
            site.transact(change)
            yield progress

    write.run = changing  # type: ignore[method-assign]
    job.wait()
    assert job.state == "failed" and message in job.error
    with site.open() as portal:
        assert content(portal, portal[stream.path]) == b"a"
    job._portal.close()
