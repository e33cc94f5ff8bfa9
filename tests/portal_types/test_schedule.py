"""Schedule: what is refused when it is made or changed, whose it is, and to run it now."""

from collections.abc import Callable
from typing import Any

import pytest

from haywain.document import Document
from haywain.errors import DuplicateError, ForbiddenError, HaywainError, InvalidError
from haywain.portal import Portal
from haywain.security import User
from haywain.workflow import WORKFLOWS

ANN = User("ann", frozenset({"Analyst"}))
BEN = User("ben", frozenset({"Manager"}))


@pytest.fixture
def stream(portal: Portal) -> Document:
    return portal.new("Data Stream", reference="stream")


@pytest.fixture
def make(portal: Portal, stream: Document) -> Callable[..., Any]:
    """Make a Schedule of this stream; nothing is committed."""
    for user in (ANN, BEN):
        if user.login not in portal.root["person_module"]:
            portal.new("Person", reference=user.login, password="long enough", roles=tuple(user.roles))

    def make(user: User = ANN, **properties: Any) -> Any:
        portal.user = user
        given = {"document": stream.path, "method": "seal", "rule": "@daily"} | properties
        return portal.new("Schedule", **given)

    return make


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"document": "data_stream_module/none"}, "document: There is nothing at"),
        ({"document": ""}, "document: must not be empty"),
        ({"method": "sael"}, "did you mean seal"),
        ({"method": "statistics"}, "works on Data Array, not on Data Stream"),
        ({"method": "_plan"}, "no activity on Data Stream '_plan'"),
        ({"parameters": "{"}, "parameters: is no JSON"),
        ({"parameters": "[1]"}, "parameters: must be a JSON object"),
        ({"parameters": '{"depth": 1}'}, "depth: is not known here"),
        ({"rule": "61 * * * *"}, "rule: '61 .* is no rule .Bad minute"),
        ({"rule": "@yearly"}, "rule: '@yearly' is no rule"),
        ({"time_zone": "Mars/Olympus"}, "time_zone: 'Mars/Olympus' is no time zone"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_makes_no_sense_is_refused(
    make: Callable[..., Any], properties: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        make(**properties)
    schedule = make()
    with pytest.raises(InvalidError, match=message):
        schedule.edit(**properties)
    assert schedule.properties.method == "seal"


@pytest.mark.parametrize(
    ("user", "path"),
    [
        (User("ann", frozenset({"Viewer"})), ""),
        (User("ann", frozenset({"Analyst"}), frozenset({"write"})), ""),
        (ANN, "person_module/ben"),
    ],
    ids=["a Viewer", "a token that may not run anything", "a document that is not to be viewed"],
)
def test_nobody_schedules_what_he_may_not_run(make: Callable[..., Any], user: User, path: str) -> None:
    with pytest.raises(ForbiddenError):
        make(user, **({"document": path} if path else {}))


def test_who_says_what_it_does_owns_it(portal: Portal, make: Callable[..., Any]) -> None:
    schedule = make(User("ann", ANN.roles, frozenset({"admin"}), "token_module/x"))
    assert (schedule.owner, schedule.token) == ("ann", "token_module/x")
    portal.user = BEN
    schedule.edit(title="Nightly", rule="@weekly")
    assert (schedule.owner, schedule.token) == ("ann", "token_module/x")
    schedule.edit(method="compress")
    assert (schedule.owner, schedule.token, schedule.is_systems) == ("ben", "", False)


def test_it_is_linked_to_its_document(portal: Portal, stream: Document, make: Callable[..., Any]) -> None:
    schedule, other = make(), portal.new("Data Stream")
    assert schedule.linked("document") == [stream.path]
    schedule.edit(document=f"/{other.path}/")
    assert schedule.linked("document") == [other.path] == [schedule.properties.document]


def test_run_now_queues_it_as_the_owner_even_as_a_draft(portal: Portal, make: Callable[..., Any]) -> None:
    schedule = make()
    portal.user = BEN
    job = schedule.run_now()
    portal.commit()
    assert job.as_dict()["user"] == "ann" and portal.user is BEN
    assert (schedule.last_activity, schedule.next_run, schedule.state) == (job.id, 0.0, "draft")
    with pytest.raises(DuplicateError, match="the one before, is still queued"):
        schedule.run_now()


def test_run_now_tells_what_keeps_it_from_running(
    portal: Portal, stream: Document, make: Callable[..., Any]
) -> None:
    schedule = make()
    portal.delete(stream)
    portal.commit()
    with pytest.raises(HaywainError, match="There is nothing at"):
        schedule.run_now()
    portal.user = User("vera", frozenset({"Viewer"}))
    with pytest.raises(ForbiddenError):
        schedule.run_now()


def test_one_that_could_not_run_is_not_validated(
    portal: Portal, stream: Document, make: Callable[..., Any]
) -> None:
    schedule = make()
    portal.delete(stream)
    with pytest.raises(InvalidError, match="document: There is nothing at"):
        WORKFLOWS["validation"].apply(schedule, "validate", "ann")
    assert (schedule.state, schedule.next_run) == ("draft", 0.0)


def test_it_says_when_in_words(make: Callable[..., Any]) -> None:
    assert make(rule="0 3 * * *", time_zone="Europe/Berlin").in_words == "At 03:00 every day, Europe/Berlin"
