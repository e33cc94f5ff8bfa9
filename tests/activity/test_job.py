"""Jobs: from `activate` to the result, in one thread, and what is refused at once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.activity.conftest import Make, content, drain, record_of

from haywain.activity.kind import Work, activity
from haywain.activity.method import method_of
from haywain.document import Document
from haywain.errors import ForbiddenError, InvalidError, NotFoundError, TemporaryError, UnknownNameError
from haywain.portal import Portal, Site
from haywain.portal_types.data_stream import DataStream
from haywain.security import User


def test_job_runs_after_the_commit_and_tells_its_result(portal: Portal, stream: Document) -> None:
    job = stream.activate(tag="t").write(text="abc")
    portal.commit()
    assert (job.state, job.progress, job.result, job.error) == ("queued", 0.0, None, None)
    job.wait()
    assert (job.state, job.progress, job.result, job.error) == ("done", 1.0, {"written": 3}, None)
    assert stream.read() == b"abc"  # type: ignore[attr-defined]  # the portal sees it
    assert job.log == ["wrote a", "wrote b", "wrote c"]
    assert portal.job(job.id).as_dict()["tag"] == "t"


@pytest.mark.parametrize("is_written", [False, True])
def test_portal_sees_the_result_unless_a_view_waits_for_a_commit(
    portal: Portal, stream: Document, is_written: bool
) -> None:
    array: Any = portal.new("Data Array")
    array.create((4,), "i1")
    job = stream.activate().write(text="abc")
    portal.commit()
    view = array[:]
    if is_written:
        view[0] = 7
    else:
        assert view.sum() == 0
    assert job.wait().state == "done"
    assert (stream.size == 3) == (not is_written)
    portal.commit()
    assert array[0] == (7 if is_written else 0) and stream.size == 3


def test_nothing_runs_of_a_transaction_that_is_aborted(site: Site, portal: Portal, stream: Document) -> None:
    job = stream.activate().write()
    assert job.state == "queued"
    with pytest.raises(InvalidError, match="Commit first"):
        job.wait()
    portal.abort()
    drain(site)
    assert stream.size == 0
    with pytest.raises(NotFoundError):
        _ = job.state


def test_document_and_its_activity_come_in_one_transaction(portal: Portal) -> None:
    made = portal.new("Data Stream")
    job = made.activate().write(text="z")
    portal.commit()
    assert job.wait().state == "done"
    assert made.read() == b"z"  # type: ignore[attr-defined]


def test_waiting_keeps_what_is_not_committed(portal: Portal, stream: Document) -> None:
    job = stream.activate().write()
    portal.commit()
    other = portal.new("Data Stream", reference="mine")
    job.wait()
    portal.commit()
    assert portal[other.path].reference == "mine"


@pytest.mark.parametrize(
    ("options", "method", "parameters", "error", "message"),
    [
        ({}, "wrte", {}, UnknownNameError, "did you mean write"),
        ({}, "delete", {}, UnknownNameError, "no activity on Data Stream"),
        ({}, "append", {"data": b"x"}, UnknownNameError, "no activity"),
        ({}, "write", {"text": ""}, InvalidError, "text: must not be empty"),
        ({}, "write", {"txt": "a"}, InvalidError, "txt"),
        ({}, "call", {}, InvalidError, "what: must be given"),
        ({"tag": "a" * 300}, "write", {}, InvalidError, "tag"),
        ({"tag": "a\nb"}, "write", {}, InvalidError, "tag: must have no control characters"),
        ({"prioriti": 1}, "write", {}, InvalidError, "prioriti: is not known here; did you mean priority"),
        ({"tag": "\ud800"}, "write", {}, InvalidError, "tag"),
        ({"tag": "a", "after_tag": "a"}, "write", {}, InvalidError, "wait for itself"),
        ({"priority": "high"}, "write", {}, InvalidError, "priority"),
        ({"at": "tomorrow"}, "write", {}, InvalidError, "at: "),
        ({"max_retries": -1}, "write", {}, InvalidError, "max_retries"),
        ({"tgg": "a"}, "write", {}, InvalidError, "tgg"),
        ({"after_tag": ["x"] * 17}, "write", {}, InvalidError, "after_tag"),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_what_makes_no_sense_is_refused_at_once(
    stream: Document, options: Any, method: str, parameters: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        getattr(stream.activate(**options), method)(**parameters)


def test_kind_for_other_documents_is_refused(portal: Portal, stream: Document) -> None:
    with pytest.raises(InvalidError, match="write works on Data Stream, not on Person"):
        portal["person_module/admin"].activate().write()


def test_too_many_parameters_are_refused(site: Site, stream: Document) -> None:
    with pytest.raises(InvalidError, match="longer than 65536 bytes"):
        stream.activate().call(what="x" * 70_000)


def test_document_outside_of_a_portal_is_refused() -> None:
    with pytest.raises(InvalidError, match="in no portal"):
        DataStream().activate()


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method of Data Streams that may be run as an activity."""

    @activity
    def double(self: DataStream, times: int = 2, suffix: str = "") -> dict[str, int]:
        """Double the stream."""
        self.append(self.read() * (times - 1) + suffix.encode())
        return {"size": self.size}

    monkeypatch.setattr(DataStream, "double", double, raising=False)


@pytest.mark.usefixtures("marked")
def test_marked_method_of_a_document_runs(portal: Portal, stream: Document) -> None:
    stream.append(b"ab")  # type: ignore[attr-defined]
    job = stream.activate().double(times="3")
    portal.commit()
    assert job.wait().result == {"size": 6}
    assert content(portal, stream) == b"ababab"
    with pytest.raises(InvalidError, match="times"):
        stream.activate().double(times="many")


def test_marked_method_is_given_its_work(
    site: Site, portal: Portal, stream: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no parameter; a method with steps goes on by its cursor."""

    @activity
    def spell(self: DataStream, text: str, work: Work) -> Iterator[float]:
        """Append a text, a byte a step."""
        for index in range(work.cursor.get("index", 0), len(text)):
            work.check()
            work.log(f"{work.id} wrote {text[index]}")
            work.document.append(text[index].encode())  # type: ignore[attr-defined]
            work.cursor["index"] = index + 1
            yield index / len(text)

    monkeypatch.setattr(DataStream, "spell", spell, raising=False)
    known = method_of(site.registry, DataStream, "spell").parameters.model_json_schema()
    assert list(known["properties"]) == ["text"]
    with pytest.raises(InvalidError, match="work: is not known here"):
        stream.activate().spell(text="ab", work=1)
    job = stream.activate().spell(text="ab")
    portal.commit()
    assert (job.wait().state, job.log) == ("done", [f"{job.id} wrote a", f"{job.id} wrote b"])
    assert content(portal, stream) == b"ab"


def test_waiting_ends_with_the_timeout(portal: Portal, stream: Document, site: Site) -> None:
    job = stream.activate(at="2999-01-01").write()
    portal.commit()
    with pytest.raises(TemporaryError, match="still queued after"):
        job.wait(timeout_s=0.05)
    assert job.as_dict()["waits_for"] == "the time 2999-01-01T00:00:00Z"


def test_waiting_for_what_never_comes_says_so(
    portal: Portal, stream: Document, whats: dict[str, Callable[[Work], Any]]
) -> None:
    def refuse(work: Work) -> None:
        raise ValueError("byte 7 is odd")

    whats["refuse"] = refuse
    first = stream.activate(tag="first").call(what="refuse")
    second = stream.activate(after_tag="first").write()
    portal.commit()
    with pytest.raises(InvalidError, match="waits for the tag 'first'"):
        second.wait()
    assert (first.state, first.error) == ("failed", "byte 7 is odd")
    first.cancel()
    assert second.wait().state == "done"


def test_activity_does_not_wait_for_another(
    portal: Portal, stream: Document, whats: dict[str, Callable[[Work], Any]]
) -> None:
    other = stream.activate().write()
    whats["wait"] = lambda work: work.portal.job(other.id).wait() and None
    job = stream.activate(priority=1).call(what="wait")
    portal.commit()
    assert "does not wait" in (job.wait().error or "")


def test_jobs_are_their_users_and_managers(portal: Portal, site: Site, stream: Document) -> None:
    ann, bob = (User(name, frozenset({"Analyst"})) for name in ("ann", "bob"))
    with site.open(ann) as hers:
        job = hers[stream.path].activate().write()
        hers.commit()
    with site.open(bob) as his, pytest.raises(NotFoundError):
        his.job(job.id)
    assert portal.job(job.id).state == "queued"
    own = stream.activate().write()
    portal.commit()
    with site.open(User("system", frozenset({"Analyst"}))) as other, pytest.raises(NotFoundError):
        other.job(own.id)


@pytest.mark.parametrize("role", ["Viewer", "Agent", ""])
def test_who_may_not_is_refused(site: Site, stream: Document, role: str) -> None:
    with site.open(User("eve", frozenset({role}))) as hers, pytest.raises(ForbiddenError):
        hers[stream.path].activate().write()


def test_result_that_is_no_json_fails(
    portal: Portal, stream: Document, whats: dict[str, Callable[[Work], Any]]
) -> None:
    whats["odd"] = lambda work: {"value": float("nan")}
    job = stream.activate().call(what="odd")
    portal.commit()
    assert job.wait().state == "failed" and "no JSON" in (job.error or "")


def test_done_job_is_not_run_again(portal: Portal, stream: Document, make_site: Make) -> None:
    job = stream.activate().write()
    portal.commit()
    job.wait()
    job.cancel()
    assert job.state == "done"
    with pytest.raises(Exception, match="only failed and cancelled ones"):
        job.retry()
    assert record_of(portal, job.id).attempts == 1
