"""Searching: what each kind of value finds, in which order, page by page."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haywain import clock
from haywain.catalog import Query, Range
from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.security import ANONYMOUS, User

VIEWER = User("vic", frozenset({"Viewer"}))
DAY_S = 86_400
START_S = datetime(2026, 11, 22, tzinfo=UTC).timestamp()

ROWS = [
    ("turbine-7.wav", "Große Straße", "vibration of the main bearing", 10),
    ("turbine-8.wav", "Σίσυφος", 'he said "stop" AND NOT go*', 20),
    ("Turbine_9.WAV", "ÅNGSTRÖM", "naïve café", 30),
    ("turbineX9.wav", "", "x-ray; DROP TABLE documents", 40),
    ("pump%1", "100 %", "percent", 50),
]


@pytest.fixture(scope="module", autouse=True)
def documents(site: Site) -> Iterator[None]:
    def fill(portal: Portal) -> None:
        for number, (reference, title, description, size) in enumerate(ROWS):
            stream = portal.new("Data Stream", reference=reference, title=title, description=description)
            stream.append(b"x" * size)
            stream.created = START_S + number * DAY_S
            stream.edited = stream._stream.last.modified = stream.created
            stream.state = "validated" if number % 2 else "draft"

    site.transact(fill)
    return


def found(portal: Portal, **where: object) -> list[str]:
    where.setdefault("portal_type", "Data Stream")
    where.setdefault("sort_on", "reference")
    return [hit.reference for hit in portal.catalog(**where)]


T7, T8, T9, TX, P1 = (row[0] for row in ROWS)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"reference": "turbine-7.wav"}, [T7]),
        ({"reference": "TURBINE-7.WAV"}, [T7]),
        ({"reference": "turbine-7"}, []),
        ({"reference": "turbine%"}, [T7, T8, T9, TX]),
        ({"reference": "%wav"}, [T7, T8, T9, TX]),
        ({"reference": "turbine_9.wav"}, [T9]),
        ({"reference": "turbine_%"}, [T9]),
        ({"reference": "%\\%"}, []),
        ({"reference": "%"}, [P1, T7, T8, T9, TX]),
        ({"reference": [T7, "PUMP%1"]}, [P1, T7]),
        ({"reference": ["%-7%", "%-8%"]}, [T7, T8]),
        ({"reference": []}, []),
        ({"reference": Range("turbine-7", "turbine-8.wav")}, [T7]),
        ({"title": "grosse strasse"}, [T7]),
        ({"title": "GROSSE STRASSE"}, [T7]),
        ({"title": "σίσυφοσ"}, [T8]),
        ({"title": "ångström"}, [T9]),
        ({"title": "a\u030angstro\u0308m"}, [T9]),
        ({"title": None}, [TX]),
        ({"title": ""}, [TX]),
        ({"size": 20}, [T8]),
        ({"size": "20"}, [T8]),
        ({"size": [10, 50]}, [P1, T7]),
        ({"size": Range(20, 40)}, [T8, T9]),
        ({"size": Range(None, 20)}, [T7]),
        ({"size": Range(40, None)}, [P1, TX]),
        ({"size": Range()}, [P1, T7, T8, T9, TX]),
        ({"created": "2026-11-22"}, [T7]),
        ({"created": "2026-11-22T00"}, [T7]),
        ({"created": "2026-11-22T00:00:00Z"}, [T7]),
        ({"created": "2026-11-22T00:00:01"}, []),
        ({"created": "2026-11"}, [P1, T7, T8, T9, TX]),
        ({"created": "2026-12"}, []),
        ({"created": "2026"}, [P1, T7, T8, T9, TX]),
        ({"created": Range("2026-11-23", "2026-11-25")}, [T8, T9]),
        ({"created": datetime(2026, 11, 22)}, [T7]),
        ({"created": START_S}, [T7]),
        ({"state": "VALIDATED"}, [T8, TX]),
        ({"text": "turbine"}, [T7, T8, T9, TX]),
        ({"text": "turb bear"}, [T7]),
        ({"text": "bearing turbine"}, [T7]),
        ({"text": "earing"}, []),
        ({"text": "wav 8"}, [T8]),
        ({"text": "naive CAFE"}, [T9]),
        ({"text": "nai\u0308ve"}, [T9]),
        ({"text": '"stop"'}, [T8]),
        ({"text": "stop AND go"}, [T8]),
        ({"text": "NOT"}, [T8]),
        ({"text": "title: x*"}, []),
        ({"text": "drop table"}, [TX]),
        ({"text": "+++ --- ()"}, []),
        ({"text": "turbine", "state": "draft"}, [T7, T9]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_finds(portal: Portal, where: dict[str, object], expected: list[str]) -> None:
    assert found(portal, **where) == expected
    portal.new("Data Product", reference="lays the running transaction over the rows")
    assert found(portal, **where) == expected


@pytest.mark.parametrize(
    "where",
    [
        {"size": "x"},
        {"size": 10**30},
        {"size": "9" * 30},
        {"size": float("inf")},
        {"size": None},
        {"size": Range("a", None)},
        {"created": "yesterday"},
        {"created": "2026-13"},
        {"created": "2026-02-30"},
        {"created": "0000"},
        {"created": "9999"},
        {"created": "9999-12"},
        {"created": None},
        {"created": 1e300},
        {"reference": "x" * 2000},
        {"reference": "%" * 60_000},
        {"reference": "\ud800"},
        {"reference": ["x"] * 101},
        {"cursor": "x"},
        {"limit": 0},
        {"sort_on": ("size",) * 9},
        {"text": " ".join(map(str, range(500)))},
    ],
    ids=lambda value: str(value)[:40],
)
def test_value_without_sense_is_refused(portal: Portal, where: dict[str, object]) -> None:
    with pytest.raises(InvalidError):
        found(portal, **where)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_text_or_value_breaks_the_search(portal: Portal, text: str, value: str) -> None:
    portal.catalog(text=text, reference=value, limit=5).count()


@pytest.mark.parametrize(
    ("sort_on", "expected"),
    [
        ("reference", [P1, T7, T8, T9, TX]),
        ("-reference", [TX, T9, T8, T7, P1]),
        ("-size", [P1, TX, T9, T8, T7]),
        (("state", "-size"), [P1, T9, T7, TX, T8]),
        (("-state", "size"), [T8, TX, T7, T9, P1]),
        ("created", [T7, T8, T9, TX, P1]),
    ],
    ids=str,
)
def test_order(portal: Portal, sort_on: str | tuple[str, ...], expected: list[str]) -> None:
    assert found(portal, sort_on=sort_on) == expected


def pages(portal: Portal, limit: int, **where: object) -> Iterator[list[str]]:
    cursor = ""
    while True:
        hits = portal.catalog(limit=limit, cursor=cursor, **where)
        yield [hit.path for hit in hits]
        cursor = hits.next
        if not cursor:
            return


@pytest.mark.parametrize("sort_on", ["state", "-state", ("size", "-state"), "modified"], ids=str)
@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_pages_show_each_hit_once_also_with_equal_values(portal: Portal, sort_on: object, limit: int) -> None:
    where = {"portal_type": "Data Stream", "sort_on": sort_on}
    whole = [hit.path for hit in portal.catalog(**where)]
    assert [path for page in pages(portal, limit, **where) for path in page] == whole and len(whole) == 5


def test_pages_stay_whole_with_inserts_between(portal: Portal) -> None:
    for number in range(6):
        portal.new("Data Product", reference=f"page{number}")
    seen = []
    for page in pages(portal, 2, portal_type="Data Product", sort_on="reference"):
        seen += page
        portal.new("Data Product", reference="page0 in front")
    references = [portal[path].reference for path in seen]
    assert references == [f"page{number}" for number in range(6)]


def test_count_ignores_limit_and_cursor(portal: Portal) -> None:
    first = portal.catalog(portal_type="Data Stream", limit=2)
    assert (len(first), first.count()) == (2, 5)
    second = portal.catalog(portal_type="Data Stream", limit=2, cursor=first.next)
    assert second.count() == 5


def test_paths_and_owners_of_any_script_are_found_without_regard_to_case(site: Site) -> None:
    with site.open(User("Ärger", frozenset({"Manager"}))) as portal:
        portal.new("Data Stream", id="Größe", reference="r")
        assert found(portal, id="GRÖSSE") == found(portal, owner="ärger") == ["r"]
        assert found(portal, path="data_stream_module/größe") == ["r"]


@pytest.mark.parametrize("user", [VIEWER, ANONYMOUS], ids=["viewer", "anonymous"])
def test_what_a_user_may_not_view_is_found_nowhere(site: Site, user: User) -> None:
    with site.open(user) as portal:
        kinds = {hit.portal_type for hit in portal.catalog()}
        assert not kinds & {"Person", "Token"} and bool(kinds) == (user is VIEWER)
        for where in ({"portal_type": "Person"}, {"path": "person_module/admin"}, {"text": "admin"}):
            hits = portal.catalog(**where)
            assert (list(hits), hits.count()) == ([], 0)


def test_rows_of_the_running_transaction_are_seen(portal: Portal) -> None:
    stream = portal.new("Data Stream", reference="running", description="fresh words")
    assert found(portal, text="fresh") == found(portal, reference="running") == ["running"]
    stream.edit(reference="renamed", description="other")
    assert found(portal, text="fresh") == found(portal, reference="running") == []
    assert found(portal, text="renamed") == ["renamed"]
    portal.delete(stream)
    assert found(portal, reference="renamed") == found(portal, text="renamed") == []
    gone = next(iter(portal.catalog(reference=T7)))
    portal.delete(gone)
    assert found(portal, reference=T7) == found(portal, text="bearing") == []
    portal.abort()
    assert found(portal, text="bearing") == [T7]


def test_rollback_to_a_savepoint_takes_rows_along(portal: Portal) -> None:
    before = portal.manager.savepoint()
    portal.new("Data Product", reference="one")
    between = portal.manager.savepoint()
    portal.new("Data Product", reference="two")
    between.rollback()
    assert found(portal, portal_type="Data Product") == ["one"]
    before.rollback()
    assert found(portal, portal_type="Data Product") == []


def test_commit_after_a_rollback_of_everything(site: Site) -> None:
    with site.open() as portal:
        before = portal.manager.savepoint()
        portal.new("Data Product", reference="rolled back")
        before.rollback()
        portal.commit()
        again = portal.manager.savepoint()
        portal.new("Data Product", reference="rolled back")
        again.rollback()
        portal.new("Data Product", reference="kept after all")
        portal.commit()
        assert found(portal, portal_type="Data Product") == ["kept after all"]
        portal.delete(next(iter(portal.catalog(reference="kept after all"))))
        portal.commit()
    assert site.repair() == 0


def test_sums_by_a_column(portal: Portal) -> None:
    sums = portal.catalog_index.sums("state", Query({"portal_type": "Data Stream"}))
    assert sums == {"draft": (3, 90), "validated": (2, 60)}


def test_search_right_after_a_commit_sees_it(site: Site) -> None:
    path, _ = site.transact(lambda p: p.new("Data Supply", reference=str(clock.now_s())).path)
    with site.open() as portal:
        assert [hit.path for hit in portal.catalog(path=path)] == [path]
