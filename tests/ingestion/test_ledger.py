"""Ledger: a key is known for its days, once, and nobody else's key is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path as FilePath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ZODB.POSException import ConflictError

from haywain.app import open_site
from haywain.ingestion import receipts, runs
from haywain.ingestion.ledger import Batch, BodyIdentity, Known, Lane, Ledger, ledger_key
from haywain.ingestion.receipts import Receipts
from haywain.portal import Portal, Site
from haywain.settings import load
from haywain.values import Offset, Path, Receipt

BODY = BodyIdentity.of([b"abc"])
DAY_S = 86_400
NOON_S = 20_000.5 * DAY_S
_numbers = count()


def receipt(offset: int = 5) -> Receipt:
    return Receipt("stored", Path("m/1"), Offset(offset), 3)


def key(name: object) -> bytes:
    return ledger_key("", "test", str(name))


@pytest.fixture(autouse=True)
def noon(set_clock) -> None:
    set_clock.now_s = NOON_S


@pytest.fixture
def own(tmp_path: FilePath) -> Iterator[Callable[[], Site]]:
    """Call it to open a directory of this test's own, again after it was closed."""
    opened: list[Site] = []

    def again() -> Site:
        for site in opened:
            site.close()
        opened[:] = [open_site(load(data=tmp_path / "own", admin_password="correct horse battery"))[0]]
        return opened[0]

    yield again
    for site in opened:
        site.close()


def add(site: Site, *names: object, window: int = 30, offset: int = 5) -> None:
    def work(portal: Portal) -> None:
        for name in names:
            Ledger.of(portal.root).add(key(name), receipt(offset), BODY, window)

    site.transact(work)


def found(site: Site, name: object) -> Known | None:
    with site.open() as portal:
        return Ledger.of(portal.root).find(key(name))


def test_key_is_bound_to_sender_and_policy() -> None:
    keys = {
        ledger_key(s, p, k) for s in ("a", "b", "") for p in ("x", "y") for k in ("1", "2", "\udcff", "é")
    }
    assert len(keys) == 24 and all(len(key) == 16 for key in keys)


def test_body_is_known_again_in_any_pieces() -> None:
    assert BodyIdentity.of([b"a", memoryview(b"bc")]) == BODY
    assert BodyIdentity.of([b"abd"]) != BODY and BodyIdentity.of([]).length == 0


def test_entry_knows_its_body_and_what_it_begins(site: Site) -> None:
    add(site, "body")
    entry = found(site, "body")
    assert entry is not None and len(entry.tid) == 16
    assert entry.matches(BODY) and not entry.matches(BodyIdentity.of([b"ab"]))
    assert entry.is_prefix_of(b"abcd") and not entry.is_prefix_of(b"abc") and not entry.is_prefix_of(b"abd+")
    assert found(site, "other") is None


def test_newer_receipt_of_a_key_takes_the_place_of_the_older(site: Site, set_clock) -> None:
    add(site, "newer", offset=1)
    add(site, "newer", offset=2)
    set_clock.forward(days=2)
    add(site, "newer", offset=3)
    entry = found(site, "newer")
    assert entry is not None and entry.offset == 3


def test_keys_of_a_running_transaction_are_known_in_it_and_a_savepoint_takes_them_back(site: Site) -> None:
    with site.open() as portal:
        ledger = Ledger.of(portal.root)
        savepoint = portal.manager.savepoint()
        ledger.add(key("back-1"), receipt(), BODY, 30)
        assert ledger.find(key("back-1")).tid == ""
        savepoint.rollback()
        assert ledger.find(key("back-1")) is None
        ledger.add(key("back-2"), receipt(), BODY, 30)
        inner = portal.manager.savepoint()
        ledger.add(key("back-3"), receipt(), BODY, 30)
        inner.rollback()
        portal.commit()
        assert [ledger.find(key(f"back-{n}")) is not None for n in (1, 2, 3)] == [False, True, False]
    assert [found(site, f"back-{n}") is not None for n in (1, 2, 3)] == [False, True, False]


def test_what_is_aborted_or_fails_is_not_known_and_others_go_on(site: Site) -> None:
    with site.open() as portal:
        Ledger.of(portal.root).add(key("aborted"), receipt(), BODY, 30)
    with site.open() as first, site.open() as second:
        Ledger.of(first.root).add(key("failed"), receipt(), BODY, 30)
        first.root["data_stream_module"].title = "first"
        second.root["data_stream_module"].title = "second"
        second.commit()
        with pytest.raises(ConflictError):
            first.commit()
        first.abort()
    add(site, "after")
    assert found(site, "aborted") is None and found(site, "failed") is None and found(site, "after")


@pytest.mark.parametrize("window", [1, 30])
def test_days_out_of_the_window_are_dropped_whole(own, set_clock, window: int) -> None:
    site = own()
    add(site, "old", window=window)
    set_clock.forward(days=window)
    add(site, "young", window=window)
    assert found(site, "old") and found(site, "young")
    set_clock.forward(days=1)
    add(site, "today", window=window)
    assert found(site, "old") is None and found(site, "young") and found(site, "today")


def test_clock_that_is_wrong_once_drops_nothing(own, set_clock) -> None:
    site = own()
    add(site, "before")
    set_clock.forward(days=1000)
    add(site, "in three years")
    assert found(site, "before") and found(site, "in three years")
    set_clock.forward(days=-1000)
    add(site, "after")
    assert found(site, "before") and found(site, "after")
    set_clock.forward(days=1001)
    add(site, "another day there")
    assert found(site, "before") is None and found(site, "in three years")


def test_clock_that_goes_back_drops_nothing(own, set_clock) -> None:
    site = own()
    add(site, "before")
    set_clock.forward(days=-100)
    add(site, "earlier")
    assert found(site, "before") and found(site, "earlier")
    site = own()
    assert found(site, "before") and found(site, "earlier")


def test_one_of_two_threads_that_add_a_key_finds_the_first(site: Site, together) -> None:
    barrier, looked = threading.Barrier(2), set[int]()

    def call(number: int) -> bool:
        def work(portal: Portal) -> bool:
            ledger = Ledger.of(portal.root)
            is_new = ledger.find(key("threads")) is None
            if number not in looked:
                looked.add(number)
                barrier.wait()
            if is_new:
                ledger.add(key("threads"), receipt(number), BODY, 30)
            return is_new

        return site.transact(work)[0]

    assert sorted(together(lambda: call(1), lambda: call(2))) == [False, True]


def test_key_is_known_to_a_transaction_that_cannot_see_it_yet(site: Site) -> None:
    with site.open() as late:
        add(site, "unseen")
        with pytest.raises(ConflictError):
            Ledger.of(late.root).find(key("unseen"))
        late.abort()
        assert Ledger.of(late.root).find(key("unseen"))


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file of each ten keys, one of each three files."""
    monkeypatch.setattr(receipts, "MOST_RECENT", 10)
    monkeypatch.setattr(runs, "FEW", 3)
    monkeypatch.setattr(runs, "MANY", 100)


def files(site: Site) -> list[FilePath]:
    return sorted((site.path / "ledger").glob("*.run"))


def test_keys_in_files_are_known_also_after_a_start(own, small_runs) -> None:
    site = own()
    for number in range(0, 240, 4):
        add(site, *range(number, number + 4))
    assert 3 <= len(files(site)) <= 8
    for _ in range(2):
        assert all(found(site, number) for number in range(240)) and not found(site, 240)
        site = own()


@pytest.mark.parametrize("damage", ["flip", "cut", "lack", "empty", "all"])
def test_damaged_files_are_made_anew(own, small_runs, damage: str) -> None:
    site = own()
    for number in range(0, 120, 5):
        add(site, *range(number, number + 5))
    path = files(site)[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    site.close()
    if damage in ("lack", "all"):
        for each in [path] if damage == "lack" else files(site):
            each.unlink()
    else:
        path.write_bytes({"flip": bytes(data), "cut": bytes(data[:-8]), "empty": b""}[damage])
    site = own()
    assert all(found(site, number) for number in range(120))


def test_files_of_a_later_state_of_the_database_are_not_trusted(own, small_runs) -> None:
    """A backup was restored beside the files that came after it."""
    site = own()
    add(site, *range(12))
    site.close()
    kept = (site.path / "Data.fs").read_bytes()
    site = own()
    add(site, *range(12, 40))
    site.close()
    (site.path / "Data.fs").write_bytes(kept)
    (site.path / "Data.fs.index").unlink()
    site = own()
    add(site, *range(100, 128))
    assert [bool(found(site, number)) for number in (0, 11, 12, 39, 100, 127)] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]


def test_files_of_dropped_days_are_removed(own, set_clock, small_runs) -> None:
    site = own()
    for _ in range(6):
        add(site, *range(12), window=2)
        set_clock.forward(days=1)
    numbers = {int(path.stem.rpartition("-")[2], 16) >> 40 for path in files(site)}
    assert numbers and min(numbers) >= 20_003 - 1


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60))
def test_ledger_is_like_a_dict(site: Site, steps: list[tuple[int, bool]]) -> None:
    """Keys are those of this example alone."""
    example = next(_numbers)
    known: dict[int, int] = {}
    for offset, (name, keeps) in enumerate(steps):
        with site.open() as portal:
            ledger = Ledger.of(portal.root)
            entry = ledger.find(key((example, name)))
            assert (None if entry is None else entry.offset) == known.get(name)
            ledger.add(key((example, name)), receipt(offset), BODY, 30)
            if keeps:
                portal.commit()
                known[name] = offset


def test_large_file_between_small_ones_is_not_lost_where_these_are_joined(own, small_runs) -> None:
    site = own()
    add(site, *range(12))
    add(site, *range(100, 220))  # more than are joined
    for begin in (20, 40, 60):
        add(site, *range(begin, begin + 12))
    names = [*range(12), *range(100, 220), *range(20, 32), *range(40, 52), *range(60, 72)]
    for _ in range(2):
        assert all(found(site, name) for name in names)
        site = own()


@pytest.mark.parametrize("failing", ["write_bytes", "unlink"])
def test_what_is_stored_is_known_also_where_files_cannot_be_made(
    own, small_runs, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A commit that was kept is never told to have failed: who is told so sends again."""
    site = own()
    for number in range(0, 240, 12):
        with monkeypatch.context() as patch:
            if number >= 24:
                patch.setattr(FilePath, failing, _fail)
            add(site, *range(number, number + 12))
    assert all(found(site, number) for number in range(240))
    add(site, *range(240, 252))
    for _ in range(2):
        assert all(found(site, number) for number in range(252)) and files(site)
        site = own()


def _fail(*args: object, **options: object) -> None:
    raise OSError(28, "No space left on device")


def test_files_beside_an_empty_database_are_removed(own, small_runs) -> None:
    site = own()
    site.close()
    empty = (site.path / "Data.fs").read_bytes()
    site = own()
    add(site, *range(12))
    site.close()
    (site.path / "Data.fs").write_bytes(empty)
    (site.path / "Data.fs.index").unlink()
    lane = (site.path / "ledger" / "lane").read_text()
    (site.path / "ledger" / f"{lane}-0.new").touch()  # of a process that was killed
    site = own()
    assert not found(site, 1) and not files(site) and not list((site.path / "ledger").glob("*.new"))


def fill(site: Site, lane: str, batches: int) -> None:
    """Have another data directory's lane in the ledger, as after a restore."""

    def work(portal: Portal) -> None:
        ledger = Ledger.of(portal.root)
        found = ledger.lanes[lane] = Lane()
        for number in range(batches):
            batch = found.add((20_000 << 40) + number)
            batch.rows = ((key((lane, number)), "stored", "m/1", 5, 3, BODY.length, BODY.digest),)

    site.transact(work)


def test_reading_a_long_log_keeps_little_in_memory(own, monkeypatch: pytest.MonkeyPatch) -> None:
    site = own()
    fill(site, "long", 3_000)
    site = own()
    monkeypatch.setattr(receipts, "GHOSTS_EVERY", 100)
    with site.open() as portal:
        portal.connection._cache.cache_size = 10
        assert Ledger.of(portal.root).find(key(("long", 2_999)))
        assert len(portal.connection._cache) < 1_000


def test_lane_of_a_directory_that_is_gone_keeps_its_last_day_at_most(own, set_clock) -> None:
    site = own()
    fill(site, "gone", 3)
    site.transact(lambda portal: Ledger.of(portal.root).lanes["gone"].add(20_001 << 40))
    assert found(site, ("gone", 1))
    set_clock.forward(days=31)
    add(site, "yesterday")
    set_clock.forward(days=1)
    add(site, "today")
    with site.open() as portal:
        assert list(Ledger.of(portal.root).lanes["gone"].days) == [20_001]
    assert found(site, ("gone", 1)) is None


def test_last_number_of_a_lane_is_found_without_reading_older_days(own, set_clock) -> None:
    site = own()
    for _ in range(3):
        add(site, "daily")
        set_clock.forward(days=1)
    site = own()
    with site.open() as portal:
        (lane,) = Ledger.of(portal.root).lanes.values()
        assert lane.last == 20_002 << 40
        assert [day._p_changed is None for day in lane.days.values()] == [True, True, False]


def test_batch_of_many_keys_is_not_searched_from_its_end_for_each() -> None:
    batch = Batch()
    batch.rows = tuple((key(n), "stored", "m/1", n, 3, BODY.length, BODY.digest) for n in (1, 2, 1))
    assert batch.entry(key(1)).offset == 1 and batch.entry(key(3)) is None
    batch.rows = (*batch.rows, (key(2), "stored", "m/1", 9, 3, BODY.length, BODY.digest))
    with_index = batch._v_by_key
    assert batch.entry(key(2)).offset == 9 and batch.entry(key(1)).offset == 1
    assert batch._v_by_key[0] is with_index[0]  # only what was added is looked at


class Process:
    """One of several on a database: its own index, and a transaction that may be open."""

    def __init__(self, site: Site, folder: FilePath) -> None:
        self.site, self.folder = site, folder
        self.portal: Portal | None = None
        self.start()

    def start(self) -> None:
        """Forget what is not in files."""
        self.end(keeps=False)
        self.receipts = Receipts(self.folder, self.folder.name, is_shared=True)

    def use(self, keys: list[bytes]) -> None:
        """Add those that are not known."""
        self.site.receipts = self.receipts
        if self.portal is None:
            self.portal, self.added = self.site.open(), list[bytes]()
        ledger = Ledger.of(self.portal.root)
        try:
            for each in keys:
                if ledger.find(each) is None:
                    ledger.add(each, receipt(), BODY, 30)
                    self.added.append(each)
        except ConflictError:
            self.end(keeps=False)

    def end(self, keeps: bool) -> list[bytes]:
        """Return what was stored."""
        if self.portal is None:
            return []
        with self.portal as portal, suppress(ConflictError):
            self.portal = None
            if keeps:
                portal.commit()
                return self.added
        return []


_ACTIONS = st.sampled_from(["use", "use", "use", "end", "end", "drop", "start"])


@given(st.lists(st.tuples(st.integers(0, 1), _ACTIONS, st.integers(0, 30), st.integers(1, 4)), max_size=80))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_processes_on_one_database_store_a_key_once(
    site: Site, tmp_path: FilePath, small_runs, steps: list[tuple[int, str, int, int]]
) -> None:
    example, own, stored = next(_numbers), site.receipts, list[bytes]()
    both = [Process(site, tmp_path / f"{name}{example}") for name in "ab"]
    try:
        for which, action, begin, count in steps:
            process = both[which]
            if action == "use":
                process.use([key((example, number)) for number in range(begin, begin + count)])
            elif action == "start":
                process.start()
            else:
                stored += process.end(keeps=action == "end")
        for process in both:
            stored += process.end(keeps=True)
        assert len(stored) == len(set(stored))
        for process in both:
            process.use(stored)
            assert process.portal is not None and not process.added
    finally:
        for process in both:
            process.end(keeps=False)
        site.receipts = own
