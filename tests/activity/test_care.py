"""Care: kinds are asked what is due, and it is queued once, whoever dies or asks meanwhile."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from tests.activity.conftest import Make, drain
from tests.conftest import Clock

from haywain.activity import care
from haywain.activity.care import Care, Caretaker, want, wanting
from haywain.activity.kind import Due, Kind, NoParameters, Work
from haywain.activity.outbox import Outbox
from haywain.errors import InvalidError
from haywain.portal import Portal, Site


class Tidy(Kind):
    """Note on what it ran."""

    class _Parameters(NoParameters):
        how: str = "well"

    name, title, portal_types, parameters, every_s = "tidy", "Tidy", ("Data Stream",), _Parameters, 60.0

    def __init__(self) -> None:
        self.answer: Any = Due
        self.asked: list[float] = []
        self.ran: list[str] = []
        self.meanwhile: Any = lambda: None

    def due(self, portal: Portal, since_s: float, now_s: float) -> Due:
        self.asked.append(since_s)
        found = self.answer()
        for document in wanting(portal, self.name, found):
            found.found[document.path] = {}
        return found

    def run(self, work: Work) -> Iterator[float]:
        self.ran.append(work.document.path)
        self.meanwhile()
        yield 1.0
        return {"user": work.portal.user.login}


@pytest.fixture
def tidy(site: Site) -> Tidy:
    kind = Tidy()
    for name in [name for name, one in site.registry.activities.items() if one.every_s]:
        del site.registry.activities[name]
    site.registry.activities["tidy"] = kind
    return kind


@pytest.fixture
def streams(site: Site) -> list[str]:
    return site.transact(lambda p: [p.new("Data Stream", reference=str(n)).path for n in range(3)])[0]


def queued(site: Site) -> list[tuple[str, str]]:
    with site.open() as portal:
        records = [one for shard in Outbox.of(portal.root).shards for one in shard.activities.values()]
        return sorted((record.path, record.parameters) for record in records if record.state == "queued")


def test_who_wants_it_is_taken_care_of_by_the_portal(site: Site, tidy: Tidy, streams: list[str]) -> None:
    site.transact(lambda p: want(p[streams[1]], "tidy"))
    drain(site)
    assert tidy.ran == [streams[1]]
    with site.open() as portal:
        (record,) = [r for shard in Outbox.of(portal.root).shards for r in shard.activities.values()]
        assert record.is_systems and record.result == '{"user": "system"}'
        assert Care.of(portal.root).paths("tidy") == [streams[1]]  # until it says otherwise


def test_it_is_queued_once_however_often_and_by_whom_it_is_asked(
    site: Site, tidy: Tidy, streams: list[str]
) -> None:
    site.transact(lambda p: [want(p[path], "tidy") for path in streams])
    for _ in range(3):
        Caretaker(site).look()
    assert queued(site) == [(path, '{"how": "well"}') for path in sorted(streams)]


def test_other_parameters_are_other_work(site: Site, tidy: Tidy, streams: list[str]) -> None:
    for how in ("well", "quickly", "well"):
        tidy.answer = lambda how=how: Due({streams[0]: {"how": how}})
        Caretaker(site).look()
    assert [parameters for _, parameters in queued(site)] == ['{"how": "quickly"}', '{"how": "well"}']


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("error", [InvalidError("never"), OSError("not now")], ids=["refused", "tried again"])
def test_what_fails_is_queued_anew_once_its_document_has_changed(
    site: Site, tidy: Tidy, streams: list[str], set_clock: Clock, error: Exception
) -> None:
    tidy.meanwhile = lambda: fail(error)
    site.transact(lambda p: want(p[streams[0]], "tidy"))
    for _ in range(6):
        Caretaker(site).look()
        assert len(queued(site)) <= 1
        while site.workers.run_next() == 0:
            pass
        set_clock.now_s += 3600
    assert len(tidy.ran) == (1 if isinstance(error, InvalidError) else 4) and not queued(site)
    set_clock.now_s += 24 * 3600
    Caretaker(site).look()
    assert len(queued(site)) == 1  # the reason may be gone
    while site.workers.run_next() == 0:
        set_clock.now_s += 3600
    site.transact(lambda p: p[streams[0]].append(b"more"))  # type: ignore[attr-defined]  # a Data Stream
    for _ in range(2):
        Caretaker(site).look()
        assert len(queued(site)) == 1


def test_what_a_user_failed_at_is_queued_by_the_portal(site: Site, tidy: Tidy, streams: list[str]) -> None:
    tidy.meanwhile = lambda: fail(InvalidError("never"))
    site.transact(lambda p: p[streams[0]].activate().tidy())
    drain(site)
    site.transact(lambda p: want(p[streams[0]], "tidy"))
    Caretaker(site).look()
    assert len(queued(site)) == 1


@pytest.mark.parametrize("is_settled", [False, True], ids=["wanted still", "wanted no longer"])
def test_what_runs_serves_only_who_is_looked_at_again(
    site: Site, tidy: Tidy, streams: list[str], is_settled: bool
) -> None:
    tidy.meanwhile = lambda: Caretaker(site).look()
    tidy.answer = lambda: Due(settled=streams[:1] if is_settled and tidy.ran else [])
    site.transact(lambda p: want(p[streams[0]], "tidy"))
    Caretaker(site).look()
    assert site.workers.run_next() == 0
    assert len(queued(site)) == int(is_settled)


def test_a_kind_is_asked_at_its_times(site: Site, tidy: Tidy, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(care.time, "monotonic", lambda: now[0])
    caretaker = Caretaker(site)
    for now[0] in (1000.0, 1059.0, 1060.0, 1061.0):
        caretaker.look()
    assert len(tidy.asked) == 2


def test_more_to_look_at_is_looked_at_next_time(site: Site, tidy: Tidy) -> None:
    answers = [Due(looked_s=10.0, is_all=False), Due(looked_s=20.0, is_all=False), Due(looked_s=30.0)]
    tidy.answer = lambda: answers.pop(0)
    caretaker = Caretaker(site)
    for _ in range(4):
        caretaker.look()
    assert tidy.asked == [0.0, 10.0, 20.0] and not answers


def test_where_nothing_is_due_nothing_is_written(site: Site, tidy: Tidy) -> None:
    tidy.answer = lambda: Due(looked_s=10.0)
    before = site.database.lastTransaction()
    Caretaker(site).look()
    assert tidy.asked and site.database.lastTransaction() == before


def test_a_deleted_document_is_forgotten(site: Site, tidy: Tidy, streams: list[str]) -> None:
    site.transact(lambda p: want(p[streams[0]], "tidy"))
    site.transact(lambda p: p.delete(p[streams[0]]))
    Caretaker(site).look()
    with site.open() as portal:
        assert Care.of(portal.root).paths("tidy") == []
    assert queued(site) == []


def test_a_document_deleted_between_question_and_answer_is_passed_over(
    site: Site, tidy: Tidy, streams: list[str]
) -> None:
    def answer() -> Due:
        site.transact(lambda p: p.delete(p[streams[0]]))
        return Due({path: {} for path in streams})

    tidy.answer = answer
    Caretaker(site).look()
    assert [path for path, _ in queued(site)] == sorted(streams[1:])


def test_wants_of_others_are_left_alone(site: Site, tidy: Tidy, streams: list[str]) -> None:
    def work(portal: Portal) -> list[list[str]]:
        for kind in ("tid", "tidy", "tidy2"):
            want(portal[streams[0]], kind)
        want(portal[streams[0]], "tidy", False)
        want(portal[streams[0]], "tidy", False)
        return [Care.of(portal.root).paths(kind) for kind in ("tid", "tidy", "tidy2")]

    assert site.transact(work)[0] == [[streams[0]], [], [streams[0]]]


def test_a_kind_that_fails_is_logged_and_the_others_are_asked(
    site: Site, tidy: Tidy, streams: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Tidy):
        name = "a_broken"

        def due(self, portal: Portal, since_s: float, now_s: float) -> Due:
            raise RuntimeError("never")

    kinds = {"a_broken": Broken(), **site.registry.activities}
    site.registry.activities.clear()
    site.registry.activities.update(kinds)
    site.transact(lambda p: want(p[streams[0]], "tidy"))
    with caplog.at_level(logging.ERROR):
        drain(site)
    assert tidy.ran == [streams[0]]
    assert "a_broken could not tell what is due" in caplog.text


def test_a_kill_in_between_queues_nothing_twice_and_forgets_nothing(
    site: Site, tidy: Tidy, streams: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer() -> Due:
        return Due({path: {} for path in sorted(streams)}, looked_s=5.0)

    def die(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    tidy.answer = answer
    monkeypatch.setattr(care, "AT_ONCE", 1)
    with monkeypatch.context() as patch:
        patch.setattr(care, "_note", die)
        with pytest.raises(KeyboardInterrupt):
            Caretaker(site).look()
    Caretaker(site).look()
    assert [path for path, _ in queued(site)] == sorted(streams) and tidy.asked == [0.0, 0.0]
    with site.open() as portal:
        assert Care.of(portal.root).looked["tidy"] == 5.0


def test_an_older_portal_gets_its_care(make_site: Make) -> None:
    site = make_site()
    site.transact(lambda p: p.root.tools.pop("care"))
    site.workers.stop()
    site.close()
    with make_site().open() as portal:
        assert Care.of(portal.root).paths("seal") == []
