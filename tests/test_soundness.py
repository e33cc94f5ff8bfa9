"""A whole database is verified: what is sound is called so, and whatever is damaged is found and named."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.damage import copy_of, flipped, make_portal

from haywain.app import open_site
from haywain.errors import DataDirectoryError, DataDirectoryInUseError
from haywain.portal import Portal, Site
from haywain.registry import load_registry
from haywain.settings import Settings, load
from haywain.soundness import verify
from haywain.store.pack_lock import packing, reading
from haywain.store.problem import KINDS, Problem, Report


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A portal that no test changes for good."""
    return make_portal(tmp_path_factory.mktemp("sound") / "var")


@pytest.fixture
def own(sound: Settings, tmp_path: Path) -> Settings:
    """A copy of it."""
    return load(data=copy_of(sound.data, tmp_path / "var"))


def problem_of(settings: Settings) -> Problem:
    report = verify(settings)
    assert not report.ok
    assert {problem.kind for problem in report.problems} <= set(KINDS)
    return report.problems[0]


def everything(path: Path) -> dict[Path, tuple[int, int]]:
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in path.rglob("*")}


def test_a_sound_database_is_called_so_and_nothing_is_touched(own: Settings) -> None:
    (own.data / "pack.lock").touch()
    before = everything(own.data)
    report = verify(own)
    assert report.ok, report.problems
    assert everything(own.data) == before
    checked = report.checked
    assert (checked["streams"], checked["arrays"], checked["outboxes"]) == (3, 1, 1)
    assert checked["blobs"] == len(list((own.data / "blobs").rglob("*.blob")))
    rows = 5 + len(load_registry().ingestion_policies)  # each rule has a policy
    assert checked["rows"] == rows and checked["objects"] > 100 and checked["payload_bytes"] > 60_000
    assert json.loads(json.dumps(report.as_dict()))["ok"] is True


def test_progress_is_told(own: Settings) -> None:
    told: list[tuple[str, int, int]] = []
    verify(own, lambda *step: told.append(step))
    assert ("transactions", (size := (own.data / "Data.fs").stat().st_size), size) in told
    assert {what for what, _, _ in told} == {"transactions", "references", "objects"}


def test_a_record_of_a_stream_is_named_with_path_and_offset(own: Settings) -> None:
    site, _ = open_site(own)
    with site.open() as portal:
        stream: Any = portal["data_stream_module/records"]
        record = stream._stream.generations[0].records[400]
        data, oid = record.data, record._p_oid
    site.close()
    position = (own.data / "Data.fs").read_bytes().index(data)
    with flipped(own.data / "Data.fs", position * 8):
        problem = problem_of(own)
    assert (problem.kind, problem.path, problem.offset) == ("checksum", "data_stream_module/records", 400)
    assert problem.as_dict()["oid"] == oid.hex()
    assert str(problem).startswith("checksum: data_stream_module/records, byte 400: ")


def test_a_blob_of_an_array_is_named_with_its_rows(own: Settings) -> None:
    site, _ = open_site(own)
    with site.open() as portal:
        array: Any = portal["data_array_module/array"]
        chunk = array._array.blocks[0].extents[-1][1]
        chunk.blob._p_activate()
        path = Path(portal.site.storage.loadBlob(chunk.blob._p_oid, chunk.blob._p_serial))
    site.close()
    with flipped(path, 0):
        problem = problem_of(own)
    assert (problem.kind, problem.path) == ("checksum", "data_array_module/array")
    assert problem.rows == (256, 4106)  # some of its rows lie elsewhere by now


def change_blob(own: Settings, change: Callable[[Path], object]) -> None:
    (blob, *_) = sorted((own.data / "blobs").rglob("*.blob"))
    blob.chmod(0o644)
    change(blob)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda p: p.unlink(), "has no file", id="missing"),
        pytest.param(lambda p: os.truncate(p, p.stat().st_size - 1), "bytes and should have", id="short"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes() + b"x"), "bytes and should have", id="long"),
        pytest.param(lambda p: p.write_bytes(b""), "0 bytes and should have", id="empty"),
    ],
)
def test_a_blob_that_is_missing_or_of_another_length_is_found(
    own: Settings, change: Callable[[Path], object], said: str
) -> None:
    change_blob(own, change)
    problem = problem_of(own)
    assert problem.kind == "blob" and said in problem.detail


def test_a_transaction_that_cannot_be_read_is_a_finding_and_the_rest_is_checked(own: Settings) -> None:
    """The length of one in the middle is damaged: ZODB would read nothing behind it."""
    whole = verify(own).checked["transactions"]
    with flipped(own.data / "Data.fs", (4 + 15) * 8 + 3):
        report = verify(own)
    assert report.problems[0].kind == "log" and report.problems[0].offset == 4
    assert report.checked["transactions"] == whole - 1


def test_a_record_that_cannot_be_loaded_is_a_finding(own: Settings) -> None:
    content = (own.data / "Data.fs").read_bytes()
    position = content.index(b"haywain.store.chunk") + 3
    with flipped(own.data / "Data.fs", position * 8):
        problem = problem_of(own)
    assert problem.kind == "record" and "cannot be loaded" in problem.detail


@pytest.mark.parametrize("what", ["torn", "voted only", "zeros"])
def test_a_tail_that_a_crash_left_is_no_damage(own: Settings, what: str) -> None:
    """The next start cuts it off."""
    data_fs = own.data / "Data.fs"
    content = data_fs.read_bytes()
    tail = {"torn": content[4:100], "voted only": b"\3" * 16 + b"c" + bytes(9), "zeros": bytes(5000)}[what]
    data_fs.write_bytes(content + tail)
    report = verify(own)
    assert report.ok, report.problems
    assert f"{len(tail)} bytes behind the last transaction" in report.notes[0]


def test_an_orphan_blob_is_found_and_no_damage(own: Settings) -> None:
    (blob, *_) = sorted((own.data / "blobs").rglob("*.blob"))
    orphan = blob.parent.parent.with_name("0x7f") / "0xee" / blob.name
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"left by a kill")
    report = verify(own)
    assert report.ok
    assert (report.checked["orphan_files"], report.checked["orphan_bytes"]) == (1, 14)


def test_a_blob_of_the_transaction_under_way_is_no_orphan(own: Settings) -> None:
    (blob, *_) = sorted((own.data / "blobs").rglob("*.blob"))
    under_way = blob.parent.parent.with_name("0x7f") / "0xee" / "0x0fffffffffffffff.blob"
    under_way.parent.mkdir(parents=True)
    under_way.write_bytes(b"renamed, and not yet voted for")
    assert not verify(own).checked["orphan_files"]


@pytest.mark.parametrize("what", ["other places", "too long", "garbage"])
def test_an_index_that_does_not_agree_with_the_log_is_found(own: Settings, what: str) -> None:
    index = own.data / "Data.fs.index"
    if what == "other places":
        content = bytearray(index.read_bytes())
        content[-200] ^= 1
        index.write_bytes(content)
    elif what == "garbage":
        index.write_bytes(b"garbage")
    else:
        os.truncate(own.data / "Data.fs", (own.data / "Data.fs").stat().st_size - 100)
    problem = problem_of(own)
    assert problem.kind == "index" and "made anew" in problem.detail


def test_a_missing_index_is_no_damage(own: Settings) -> None:
    (own.data / "Data.fs.index").unlink()
    assert verify(own).ok


def test_an_object_that_is_not_there_is_found(own: Settings) -> None:
    """Its record is replaced by the end of its existence, as an undo writes it."""
    site, _ = open_site(own)
    with site.open() as portal:
        stream: Any = portal["data_stream_module/records"]
        oid = stream._stream.generations[0].records[0]._p_oid
    storage, meta = site.storage, _transaction()
    storage.tpc_begin(meta)
    storage.deleteObject(oid, storage.getTid(oid), meta)
    storage.tpc_vote(meta)
    storage.tpc_finish(meta)
    site.close()
    problem = problem_of(own)
    assert (problem.kind, problem.path) == ("reference", "data_stream_module/records")
    assert oid.hex() in problem.detail


def _transaction() -> Any:  # Any: ZODB has no types
    from ZODB.Connection import TransactionMetaData

    return TransactionMetaData()


def break_it(own: Settings, change: Callable[[Portal], object]) -> None:
    site, _ = open_site(own)
    with site.open() as portal:
        change(portal)
        portal.commit()
    site.close()


def _generation(portal: Portal) -> Any:  # Any: a Generation
    return portal["data_stream_module/records"]._stream.generations[0]  # type: ignore[attr-defined]


def _lose_record(portal: Portal) -> None:
    del _generation(portal).records[400]


def _gap(portal: Portal) -> None:
    _generation(portal).size += 5


def _close_last(portal: Portal) -> None:
    portal["data_stream_module/records"]._stream.last.closed = True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "offset", "said"),
    [
        pytest.param(_lose_record, 400, "ends at 400 and the next one begins at 600", id="record"),
        pytest.param(_gap, 1000, "end at 1000 and should at 1005", id="size"),
        pytest.param(_close_last, 1000, "last generation is closed", id="closed"),
    ],
)
def test_parts_of_a_stream_that_do_not_join_are_found(
    own: Settings, change: Callable[[Portal], object], offset: int, said: str
) -> None:
    break_it(own, change)
    found = [problem for problem in verify(own).problems if problem.kind == "stream"]
    assert found[0].path == "data_stream_module/records"
    assert found[0].offset == offset and said in found[0].detail


def _array(portal: Portal) -> Any:  # Any: an Array
    return portal["data_array_module/array"]._array  # type: ignore[attr-defined]


def _behind_chunk(portal: Portal) -> None:
    block = _array(portal).blocks[0]
    offset, chunk, position, length = block.extents[-1]
    block.extents = (*block.extents[:-1], (offset, chunk, position + chunk.length, length))


def _overlap(portal: Portal) -> None:
    block = _array(portal).blocks[0]
    block.extents = (block.extents[0], *block.extents)


def _tail_count(portal: Portal) -> None:
    _array(portal).extent.tail_count += 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(_behind_chunk, "of its chunk", id="chunk"),
        pytest.param(_overlap, "on another one", id="overlap"),
        pytest.param(_tail_count, "counts others", id="tail"),
    ],
)
def test_extents_that_do_not_fit_are_found(
    own: Settings, change: Callable[[Portal], object], said: str
) -> None:
    break_it(own, change)
    found = [problem for problem in verify(own).problems if problem.kind == "array"]
    assert found[0].path == "data_array_module/array" and said in found[0].detail


def _sum_up(portal: Portal) -> Any:  # Any: a Pyramid
    array: Any = portal["data_array_module/array"]
    array.update_level_of_detail()
    return array._pyramid


def _level_cut(portal: Portal) -> None:
    _sum_up(portal).levels[0].resize(3)


def _level_gone(portal: Portal) -> None:
    pyramid = _sum_up(portal)
    pyramid.levels = pyramid.levels[:-1]


def _level_tail(portal: Portal) -> None:
    _sum_up(portal).levels[1].extent.tail_count += 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(_level_cut, "level 0 has 3 buckets and should have 16", id="cut"),
        pytest.param(_level_gone, "4106 rows have 2 levels, not 1", id="gone"),
        pytest.param(_level_tail, "in a level of detail: the tail has 1 records", id="tail"),
    ],
)
def test_a_level_of_detail_that_does_not_fit_is_found(
    own: Settings, change: Callable[[Portal], object], said: str
) -> None:
    break_it(own, change)
    problem = problem_of(own)
    assert (problem.kind, problem.path, problem.rows) == ("pyramid", "data_array_module/array", None)
    assert said in problem.detail


def test_damage_of_a_level_of_detail_is_told_from_that_of_rows(own: Settings) -> None:
    break_it(own, _sum_up)
    assert verify(own).ok and verify(own).checked["pyramids"] == 3
    site, _ = open_site(own)
    with site.open() as portal:
        array: Any = portal["data_array_module/array"]
        (_, record) = array._pyramid.levels[0].extent.tail[0]
        position = (own.data / "Data.fs").read_bytes().index(record.data)
    site.close()
    with flipped(own.data / "Data.fs", position * 8):
        problem = problem_of(own)
    assert (problem.kind, problem.path, problem.rows) == ("pyramid", "data_array_module/array", None)


def _outbox(portal: Portal) -> Any:  # Any: an Outbox
    return portal.root.tools["outbox"]


def _no_place(portal: Portal) -> None:
    for shard in _outbox(portal).shards:
        shard.order.clear()


def _no_name(portal: Portal) -> None:
    for shard in _outbox(portal).shards:
        shard.names.clear()


def _strange_name(portal: Portal) -> None:
    _outbox(portal).shards[3].names.add(("tag", "x", "0123"))


@pytest.mark.parametrize("change", [_no_place, _no_name, _strange_name])
def test_an_outbox_that_disagrees_with_its_activities_is_found(
    own: Settings, change: Callable[[Portal], object]
) -> None:
    break_it(own, change)
    assert problem_of(own).kind == "outbox"


def _no_row(sql: sqlite3.Connection) -> None:
    sql.execute("delete from documents where id = 'records'")


def _other_row(sql: sqlite3.Connection) -> None:
    sql.execute("update documents set size = 5 where id = 'records'")


def _other_words(sql: sqlite3.Connection) -> None:
    sql.execute("update documents_text set reference = 'x' where reference = 'records'")


def _stranger(sql: sqlite3.Connection) -> None:
    sql.execute("update documents set uid = 99999 where id = 'records'")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(_no_row, "it has no row", id="row"),
        pytest.param(_other_row, "its row differs in size", id="size"),
        pytest.param(_other_words, "the words it is found by are others", id="words"),
        pytest.param(_stranger, "no such document", id="stranger"),
    ],
)
def test_a_catalog_that_disagrees_with_the_documents_is_found(
    own: Settings, change: Callable[[sqlite3.Connection], object], said: str
) -> None:
    with sqlite3.connect(own.data / "catalog.sqlite") as sql:
        change(sql)
    sql.close()
    report = verify(own)
    assert {(p.kind, p.path) for p in report.problems} == {("catalog", "data_stream_module/records")}
    assert said in " ".join(p.detail for p in report.problems)


def test_what_a_kill_kept_from_the_catalog_is_no_damage(own: Settings) -> None:
    """The next start adds it: its token is in the log and not among those applied."""
    site, _ = open_site(own)
    engine = site.catalog_store.engine
    with engine.connect() as sql:
        rows = list(sql.exec_driver_sql("select * from documents where id = 'records'").mappings())
    site.transact(lambda p: p["data_stream_module/records"].append(b"more"))  # type: ignore[attr-defined]
    with engine.connect() as sql:
        sql.exec_driver_sql("delete from applied")
        sql.exec_driver_sql("update documents set size = ? where id = 'records'", (rows[0]["size"],))
    assert verify(own).ok
    assert site.repair() == 1
    assert verify(own).ok
    site.close()


@pytest.mark.parametrize("what", ["missing", "garbage"])
def test_a_catalog_that_is_not_there_is_no_damage_one_that_cannot_be_read_is(
    own: Settings, what: str
) -> None:
    catalog = own.data / "catalog.sqlite"
    catalog.unlink()
    if what == "garbage":
        catalog.write_bytes(b"garbage" * 1000)
        assert problem_of(own).kind == "catalog"
    else:
        assert verify(own).ok


def test_a_directory_without_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError, match=r"Data\.fs is missing"):
        verify(load(data=tmp_path))
    assert not list(tmp_path.iterdir())


def test_no_verification_while_a_pack_runs_and_no_pack_while_one_does(own: Settings) -> None:
    with packing(own.data), pytest.raises(DataDirectoryInUseError, match="try again"):
        verify(own)
    with reading(own.data), pytest.raises(DataDirectoryInUseError, match="try again"), packing(own.data):
        pass
    with reading(own.data):
        assert verify(own).ok


@pytest.fixture
def serving(own: Settings) -> Iterator[Site]:
    """A site that has the directory open."""
    site, _ = open_site(own)
    yield site
    site.close()


def test_a_database_is_verified_while_others_write_to_it(own: Settings, serving: Site) -> None:
    """Again and again, beside two threads that append, make, seal and remove."""
    import threading

    stop, errors = threading.Event(), list[BaseException]()

    def write(number: int) -> None:
        try:
            while not stop.is_set():
                path, _ = serving.transact(lambda p: p.new("Data Stream", reference=f"w{number}").path)
                serving.transact(lambda p, path=path: _work(p, path))  # type: ignore[misc]
                serving.transact(lambda p, path=path: p.delete(p[path]))  # type: ignore[misc]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    reports = [verify(own) for _ in range(12)]
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert [report.problems for report in reports] == [[]] * 12
    assert reports[-1].checked["transactions"] > reports[0].checked["transactions"]


def _work(portal: Portal, path: str) -> None:
    stream: Any = portal[path]
    stream.append(os.urandom(100_000))
    stream.close_tail()
    stream.seal(0)


def test_many_problems_are_counted_and_not_all_listed() -> None:
    report = Report()
    for number in range(2000):
        report.add(Problem("log", "damaged", offset=number))
    assert len(report.problems) == 1000 and report.as_dict()["problem_count"] == 2000


def test_a_disk_that_cannot_be_read_is_a_finding(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    pread, limit = os.pread, (own.data / "Data.fs").stat().st_size // 2

    def failing(descriptor: int, length: int, position: int) -> bytes:
        if position > limit:
            raise OSError(5, "Input/output error")
        return pread(descriptor, length, position)

    monkeypatch.setattr(os, "pread", failing)
    report = verify(own)
    assert not report.ok and "cannot be read any further" in report.problems[0].detail
