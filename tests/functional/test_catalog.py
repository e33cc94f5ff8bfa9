"""Finding documents over HTTP, and a catalog that a crash, a damage or a removal leaves whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.functional.program import Client

import haywain
from haywain.catalog import Catalog
from haywain.cli import main


@pytest.fixture(scope="module")
def pumps(client: Client) -> list[str]:
    """The references of 25 streams, 10 of them with a title, one with bytes."""
    names = [f"pump_{number:02d}.flow" for number in range(24)] + ["pumpX01.flow"]
    for number, name in enumerate(names):
        client.make(
            "data_stream_module", reference=name, title=f"Ölpumpe {number}" if number < 10 else "",
            description="In the cellar" if number == 3 else "",
            content_type="text/csv" if number < 5 else "application/x-flow",
        )  # fmt: skip
    client("PUT", "/" + client.search(reference=names[7])["items"][0]["path"] + "/data", b"x" * 777)
    return names


def references(found: Any) -> list[str]:
    return [item["reference"] for item in found["items"]]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        pytest.param({"reference": "pump_03.flow"}, [3], id="value"),
        pytest.param({"reference": "PUMP_03.FLOW"}, [3], id="any-case"),
        pytest.param({"reference": "pump_0%"}, list(range(10)), id="pattern"),
        pytest.param({"reference": "pump_0_.flow"}, [], id="underscore-is-literal"),
        pytest.param({"reference": "%01.flow"}, [1, 24], id="suffix"),
        pytest.param({"reference": ["pump_01.flow", "pump_05.flow"]}, [1, 5], id="list"),
        pytest.param({"reference": "pump%", "title": "ÖLPUMPE 4"}, [4], id="two-keys"),
        pytest.param({"reference": "pump%", "content_type": "text/csv"}, [0, 1, 2, 3, 4], id="content-type"),
        pytest.param({"reference": "pump%", "size": "777"}, [7], id="size"),
        pytest.param({"reference": "pump%", "size": "1..1000"}, [7], id="size-range"),
        pytest.param({"text": "cellar"}, [3], id="description"),
        pytest.param({"text": "ölpum", "reference": "pump_01%"}, [1], id="begin-of-a-word"),
        pytest.param({"text": "pump 03"}, [3], id="words"),
        pytest.param({"reference": "pump_01%", "created": "1999"}, [], id="other-year"),
        pytest.param({"reference": "pump_01%", "created": "2020..2100"}, [1], id="years"),
        pytest.param(
            {"reference": "pump_01%", "owner": "admin", "state": "draft"}, [1], id="owner-and-state"
        ),
        pytest.param({"reference": "pump_01%", "module": "data_stream_module"}, [1], id="module"),
        pytest.param({"reference": "pump_01%", "portal_type": "Data Supply"}, [], id="portal-type"),
    ],
)
def test_search(client: Client, pumps: list[str], question: dict[str, Any], expected: list[int]) -> None:
    found = client.search(sort="reference", limit=100, **question)
    assert references(found) == [pumps[number] for number in expected]
    assert (found["count"], found["next"]) == (len(expected), None)


def test_items_tell_what_the_contract_names(client: Client, pumps: list[str]) -> None:
    (item,) = client.search(reference=pumps[7])["items"]
    names = {"path", "id", "portal_type", "reference", "title", "state", "modified", "size"}
    assert names <= set(item)
    assert item["path"] == f"data_stream_module/{item['id']}" and item["size"] == 777
    page = client("GET", f"/{item['path']}", None, {"Accept": "application/json"})
    assert page.json["reference"] == pumps[7]


@pytest.mark.parametrize(
    "sort", ["reference", "-reference", "title,-reference", "-created", "size,reference"]
)
def test_pages_by_cursor_cover_all_exactly_once(client: Client, pumps: list[str], sort: str) -> None:
    question: dict[str, Any] = {"reference": "pump%", "sort": sort}
    found, cursor, pages = list[str](), "", 0
    while True:
        page = client.search(**question, limit=7, **({"cursor": cursor} if cursor else {}))
        assert page["count"] == 25
        found += references(page)
        pages += 1
        if not page["next"]:
            break
        cursor = page["next"]
    assert pages == 4
    assert found == references(client.search(**question, limit=100))
    assert sorted(found) == sorted(pumps)
    if sort == "-reference":
        assert found == sorted(pumps, key=str.casefold, reverse=True)


@pytest.mark.parametrize(
    ("question", "says"),
    [
        pytest.param({"refrence": "x"}, "reference", id="near-key"),
        pytest.param({"sort": "-modifed"}, "modified", id="near-sort"),
        pytest.param({"limit": "0"}, "between 1 and 1000", id="limit-0"),
        pytest.param({"limit": "1001"}, "between 1 and 1000", id="limit-1001"),
        pytest.param({"limit": "x"}, "whole number", id="limit-x"),
        pytest.param({"cursor": "x"}, "cursor", id="cursor"),
        pytest.param({"cursor": "WzFd", "sort": "reference"}, "another search", id="cursor-of-another"),
        pytest.param({"size": "large"}, "whole number", id="size"),
        pytest.param({"created": "yesterday"}, "date", id="date"),
        pytest.param({"created": "2026-13"}, "created", id="month"),
    ],
)
def test_question_that_makes_no_sense(client: Client, question: dict[str, str], says: str) -> None:
    answer = client("GET", "/api/v1/search", **question)
    assert answer.status == 400 and says in answer.json["detail"], answer.body


@pytest.mark.parametrize(
    "question", ["text=%22%27%29%28*%00", "reference=%27%20or%201=1--", "text=AND%20OR%20NOT"]
)
def test_characters_of_sql_find_nothing(client: Client, question: str) -> None:
    answer = client("GET", f"/api/v1/search?{question}")
    assert (answer.status, answer.json["count"]) == (200, 0)


def test_document_made_after_the_snapshot_is_left_out(folder: Path) -> None:
    """The catalog may know a document that this transaction cannot load yet: no conflict, no error."""
    with haywain.open(str(folder / "var")) as portal, portal.site.open() as other:
        other.new("Data Stream", reference="newer")
        other.commit()
        assert [hit.reference for hit in portal.catalog(reference="newer")] == []
        portal.abort()
        assert [hit.reference for hit in portal.catalog(reference="newer")] == ["newer"]


def test_crash_between_both_commits_is_repaired(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ZODB has the transaction, the catalog's rows are gone: as after kill -9 between the two commits."""

    def killed(catalog: Catalog, transaction: object) -> None:
        catalog._reset()

    with haywain.open(str(folder / "var")) as portal:
        kept = portal.new("Data Stream", reference="changed")
        portal.delete(portal.new("Data Stream", reference="made-and-gone"))
        gone = portal.new("Data Stream", reference="gone")
        portal.commit()
        with monkeypatch.context() as patch:
            patch.setattr(Catalog, "tpc_finish", killed)
            kept.edit(title="changed in the crash")
            portal.new("Data Stream", reference="made")
            portal.delete(gone)
            portal.commit()
        assert portal.catalog(title="changed in the crash").count() == 0
    with haywain.open(str(folder / "var")) as portal:
        found = {hit.reference: hit.title for hit in portal.catalog(portal_type="Data Stream")}
        assert found == {"changed": "changed in the crash", "made": ""}
        assert portal.catalog(text="crash").count() == 1
        assert portal.catalog(reference="gone").count() == 0


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.unlink(), id="removed"),
        pytest.param(lambda path: path.write_bytes(b"no database " * 1000), id="replaced"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:5000]), id="cut"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(9 * 4096)), id="zeros"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[::-1]), id="reversed"),
    ],
)
def test_reindex_makes_a_damaged_catalog_anew(
    folder: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], object]
) -> None:
    data = folder / "var"
    with haywain.open(str(data)) as portal:
        for number in range(30):
            portal.new("Data Stream", reference=f"n{number}", title="Found again")
        portal.commit()
    for name in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
        (data / name).unlink(missing_ok=True)
    damage(data / "catalog.sqlite")
    with pytest.raises(SystemExit) as stop:
        main(["reindex", "--data", str(data)])
    assert stop.value.code == 0
    assert "documents indexed" in capsys.readouterr().out
    with haywain.open(str(data)) as portal:
        assert portal.catalog(text="found again").count() == 30


def test_reindex_of_a_portal_that_serves(client: Client, pumps: list[str]) -> None:
    before = client.search(reference="pump%")["count"]
    answer = client("POST", "/api/v1/reindex")
    assert answer.status == 200 and json.loads(answer.body)["documents"] > before
    assert client.search(reference="pump%")["count"] == before
