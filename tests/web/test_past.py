"""`/@{moment}/...`: documents, bytes, slices, pages and searches as they were; nothing can be changed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from webtest import TestApp

from haywain.portal import Portal, Site
from haywain.store.moment import time_of


@dataclass
class Then:
    """A stream and an array that have changed since, and a stream that is gone."""

    stream: str
    array: str
    gone: str
    tid: str
    later: str

    @property
    def time(self) -> datetime:
        return time_of(bytes.fromhex(self.tid))


@pytest.fixture(scope="module")
def then(site: Site, application: object) -> Then:
    def make(portal: Portal) -> tuple[str, str, str]:
        stream, gone = (
            portal.new("Data Stream", reference="old name"),
            portal.new("Data Stream", reference="going"),
        )
        stream.append(b"first")
        array = portal.new("Data Array", reference="numbers")
        array.create((3,), "<i2")
        return stream.path, array.path, gone.path

    def change(portal: Portal) -> None:
        stream = portal[paths[0]]
        stream.append(b" second")
        stream.edit(reference="new name")
        portal[paths[1]][1] = 7
        portal.delete(portal[paths[2]])
        portal.new("Data Stream", reference="not yet")

    paths, tid = site.transact(make)
    return Then(*paths, tid, site.transact(change)[1])


@pytest.fixture
def viewer(program: object) -> TestApp:
    return program("viewer")  # type: ignore[operator]


def test_document_is_as_it_was(viewer: TestApp, then: Then) -> None:
    json = {"Accept": "application/json"}
    before = viewer.get(f"/@{then.tid}/{then.stream}", headers=json)
    assert (before.json["reference"], before.json["size"]) == ("old name", 5)
    assert "immutable" in before.headers["Cache-Control"]
    assert viewer.get(f"/@{then.later}/{then.stream}", headers=json).json["reference"] == "new name"
    assert viewer.get(f"/@{then.tid}/{then.gone}", headers=json).json["reference"] == "going"
    viewer.get(f"/@{then.later}/{then.gone}", headers=json, status=404)


def test_bytes_and_slices_are_as_they_were(viewer: TestApp, then: Then) -> None:
    whole = viewer.get(f"/@{then.tid}/{then.stream}/data")
    assert (
        whole.body == b"first" and whole.headers["ETag"] != viewer.get(f"/{then.stream}/data").headers["ETag"]
    )
    part = viewer.get(f"/@{then.tid}/{then.stream}/data", headers={"Range": "bytes=1-2"}, status=206)
    assert (part.body, part.headers["Content-Range"]) == (b"ir", "bytes 1-2/5")
    assert viewer.get(f"/@{then.tid}/{then.array}/slice?format=json").json == [0, 0, 0]
    assert viewer.get(f"/@{then.later}/{then.array}/slice?format=json").json == [0, 7, 0]
    assert viewer.get(f"/@{then.tid}/{then.array}/plot").json["rows"] == 3
    assert viewer.head(f"/@{then.tid}/{then.stream}/data").headers["Content-Length"] == "5"


def test_search_finds_what_there_was(viewer: TestApp, then: Then) -> None:
    def found(moment: str, query: str = "portal_type=Data+Stream") -> list[str]:
        answer = viewer.get(f"{moment}/api/v1/search?{query}&sort=reference").json
        assert answer["count"] == len(answer["items"])
        return [item["reference"] for item in answer["items"]]

    assert found(f"/@{then.tid}") == ["going", "old name"]
    assert found(f"/@{then.later}") == found("") == ["new name", "not yet"]
    assert found(f"/@{then.tid}", "text=old") == ["old name"] and found("", "text=old") == []
    assert found(f"/@{then.tid}", "text=yet") == []
    assert found(f"/@{then.tid}", "reference=new+name") == []


@pytest.mark.parametrize(
    "spelling", ["%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f%%2B00:00"]
)
def test_moment_may_be_a_time(viewer: TestApp, then: Then, spelling: str) -> None:
    moment = (then.time + timedelta(microseconds=1)).strftime(spelling)
    assert viewer.get(f"/@{moment}/{then.stream}/data").body == b"first"


@pytest.mark.parametrize(
    ("moment", "status", "detail"),
    [
        ("2day", 400, "is no moment"),
        ("yesterday", 404, "There is nothing at"),
        ("2999-01-01", 400, "lies in the future"),
        ("7" * 16, 400, "lies in the future"),
        ("1999-01-01", 404, "There was no portal yet"),
        ("2026-13-01", 400, "is no moment"),
    ],
)
def test_moment_that_makes_no_sense(
    viewer: TestApp, then: Then, moment: str, status: int, detail: str
) -> None:
    answer = viewer.get(f"/@{moment}/{then.stream}", headers={"Accept": "application/json"}, status=status)
    assert detail in answer.json["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_past_cannot_be_changed(program: object, then: Then, method: str) -> None:
    manager: TestApp = program("manager")  # type: ignore[operator]
    answer = manager.request(f"/@{then.tid}/{then.stream}/data", method=method, body=b"x", expect_errors=True)
    assert (answer.status_int, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert manager.get(f"/{then.stream}/data").body == b"first second"


def test_past_is_for_those_who_may_look_today(program: object, then: Then) -> None:
    agent: TestApp = program("agent")  # type: ignore[operator]
    stranger: TestApp = program()  # type: ignore[operator]
    agent.get(f"/@{then.tid}/{then.stream}/data", status=403)
    stranger.get(f"/@{then.tid}/{then.stream}/data", status=401)
    stranger.get("/@yesterday/", status=401)


def test_what_is_packed_away_is_gone(site: Site, viewer: TestApp, then: Then) -> None:
    def pack(portal: Portal, until: str) -> None:
        portal.root.packed_until = until

    site.transact(lambda portal: pack(portal, then.later))
    try:
        answer = viewer.get(
            f"/@{then.tid}/{then.stream}/data", headers={"Accept": "application/json"}, status=410
        )
        assert "packed away; it may be in a backup" in answer.json["detail"]
        assert viewer.get(f"/@{then.later}/{then.stream}/data").body == b"first second"
    finally:
        site.transact(lambda portal: pack(portal, ""))


def test_pages_stay_at_their_moment(program: object, then: Then) -> None:
    manager: TestApp = program("manager")  # type: ignore[operator]
    html = {"Accept": "text/html"}
    page = manager.get(f"/@{then.tid}/{then.stream}", headers=html)
    assert "As it was at" in page.text and f'href="/{then.stream}"' in page.text
    assert f'href="/@{then.tid}/{then.stream}/data?download=1"' in page.text
    assert "Add a file" not in page.text and "/edit" not in page.text
    assert "immutable" not in page.headers.get("Cache-Control", "")
    assert manager.get(f"/@{then.tid}/data_stream_module", headers=html).text.count("old name") >= 1
    answer = manager.get(f"/{then.stream}/then", {"at": then.time.isoformat()}, status=303)
    assert answer.headers["Location"].startswith("/@20")
    assert "See it as it is" not in manager.get(f"/{then.stream}", headers=html).text
