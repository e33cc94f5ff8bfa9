"""The joblib backend: what comes back is what any backend returns, and nothing is left in the database."""

import _thread
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV
from tests.functional.program import DatabaseProgram, Program, until

import haywain
from haywain import parallel
from haywain.activity import packing, sweeper
from haywain.activity.kind import Work
from haywain.activity.outbox import Outbox
from haywain.errors import ForbiddenError, GoneError, InvalidError
from haywain.portal import Portal
from haywain.security import User
from haywain.values import MIB

RNG = np.random.default_rng(3)
X = RNG.normal(size=(45_000, 4))
Y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)


@pytest.fixture(params=[0, 2], ids=["no Workers", "2 Workers"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Portal]:
    """A portal with so many Workers; at the end nothing is left of any call."""
    with haywain.open(str(tmp_path / "var"), workers=request.param) as portal:
        yield portal
        left(portal)


def left(portal: Portal) -> None:
    portal.abort()
    assert not list(portal.root["parallel_call_module"].documents)
    assert not any(len(shard.activities) for shard in Outbox.of(portal.root).shards)


def search() -> GridSearchCV:
    model = SGDClassifier(random_state=0, max_iter=3, tol=None)
    return GridSearchCV(model, {"alpha": [1e-4, 1e-3, 1e-2]}, cv=3)


def test_grid_search_is_that_of_any_backend(opened: Portal) -> None:
    expected = search().fit(X, Y)
    with joblib.parallel_backend("haywain", portal=opened, n_jobs=2):
        found = search().fit(X, Y)
    assert np.array_equal(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert found.best_params_ == expected.best_params_
    assert np.array_equal(found.best_estimator_.coef_, expected.best_estimator_.coef_)


def test_random_forest_is_that_of_any_backend(opened: Portal) -> None:
    some, truth = X[:500], Y[:500]
    expected = RandomForestClassifier(10, random_state=5).fit(some, truth)
    with joblib.parallel_config(backend="haywain", portal=opened):
        found = RandomForestClassifier(10, random_state=5, n_jobs=2).fit(some, truth)
    assert np.array_equal(found.predict_proba(X), expected.predict_proba(X))


def test_results_come_in_order_and_large_arrays_go_both_ways(opened: Portal) -> None:
    large = np.asfortranarray(RNG.normal(size=(300, 500)))

    def double(number: int, rows: np.ndarray) -> tuple[int, bool, np.ndarray]:
        return number, rows.flags.writeable, rows * number

    with joblib.parallel_config(backend="haywain", portal=opened, n_jobs=2):
        found = joblib.Parallel()(joblib.delayed(double)(number, large) for number in range(5))
    for number, (again, was_writeable, rows) in enumerate(found):
        assert again == number and not was_writeable
        assert np.array_equal(rows, large * number) and rows.flags.writeable
        assert rows.flags.f_contiguous


def test_array_is_stored_once_for_a_call(tmp_path: Path) -> None:
    large = RNG.integers(0, 256, 8 * MIB, np.uint8)
    with haywain.open(str(tmp_path / "var"), workers=2) as portal:
        with joblib.parallel_config(backend="haywain", portal=portal, n_jobs=2):
            found = joblib.Parallel(batch_size=1)(joblib.delayed(np.sum)(large) for _ in range(12))
        assert found == [large.sum()] * 12
        size = sum(path.stat().st_size for path in (tmp_path / "var").rglob("*") if path.is_file())
    assert 8 * MIB < size < 20 * MIB


def test_error_keeps_its_type_and_tells_where_it_was_raised(opened: Portal) -> None:
    def fail(number: int) -> float:
        return 1 / number

    with (
        joblib.parallel_config(backend="haywain", portal=opened, n_jobs=2),
        pytest.raises(ZeroDivisionError) as caught,
    ):
        joblib.Parallel()(joblib.delayed(fail)(number) for number in (2, 1, 0, 3))
    assert ", in fail\nZeroDivisionError" in str(caught.value.__cause__)


class _Odd(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def _raise_odd() -> None:
    raise _Odd("odd", "one")


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [(_raise_odd, packing.BatchError, "_Odd: odd"), (threading.Lock, TypeError, "cannot pickle")],
    ids=["error that cannot be made again", "result that cannot be pickled"],
)
def test_what_cannot_be_sent_back_is_told(
    tmp_path: Path, call: Callable[[], Any], kind: type[Exception], message: str
) -> None:
    with haywain.open(str(tmp_path / "var")) as portal:
        with (
            joblib.parallel_config(backend="haywain", portal=portal, n_jobs=2),
            pytest.raises(kind, match=message),
        ):
            joblib.Parallel()(joblib.delayed(call)() for _ in range(3))
        left(portal)


@pytest.mark.parametrize("bad", [0, 57], ids=["the first", "a later one"])
def test_what_cannot_be_sent_is_told_and_ends_the_call(opened: Portal, bad: int) -> None:
    things = [threading.Lock() if number == bad else number for number in range(60)]
    with (
        joblib.parallel_config(backend="haywain", portal=opened, n_jobs=2),
        pytest.raises(TypeError, match="cannot pickle"),
    ):
        joblib.Parallel(batch_size=1)(joblib.delayed(str)(thing) for thing in things)


def test_inside_a_batch_no_other_activity_is_waited_for(opened: Portal) -> None:
    def inner(number: int) -> list[int]:
        return list(joblib.Parallel(n_jobs=2)(joblib.delayed(pow)(n, 2) for n in range(number)))

    with joblib.parallel_config(backend="haywain", portal=opened, n_jobs=2):
        found = joblib.Parallel()(joblib.delayed(inner)(number) for number in range(4))
    assert found == [[n * n for n in range(number)] for number in range(4)]


def test_generator_that_is_left_early_cancels_the_rest(opened: Portal) -> None:
    with joblib.parallel_config(backend="haywain", portal=opened, n_jobs=2):
        results = joblib.Parallel(return_as="generator")(joblib.delayed(abs)(-n) for n in range(100))
        assert next(results) == 0
        with pytest.warns(UserWarning, match="have been"):
            results.close()


@pytest.mark.parametrize("workers", [0, 1], ids=["no Workers", "1 Worker"])
def test_interrupt_cancels_what_is_queued(tmp_path: Path, workers: int) -> None:
    started = tmp_path / "started"
    started.mkdir()

    def linger(number: int) -> None:
        (started / str(number)).touch()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            time.sleep(0.01)

    def interrupt() -> None:
        until(lambda: any(started.iterdir()), "a batch")
        _thread.interrupt_main()

    with haywain.open(str(tmp_path / "var"), workers=workers) as portal:
        with joblib.parallel_config(backend="haywain", portal=portal, n_jobs=8):
            with pytest.raises(KeyboardInterrupt):
                threading.Thread(target=interrupt).start()
                joblib.Parallel()(joblib.delayed(linger)(number) for number in range(100))
            left(portal)
        until(lambda: not portal.site.workers.guards(), "the batch that ran to end")
        assert [path.name for path in started.iterdir()] == ["0"]


def test_minus_one_is_the_number_of_workers(tmp_path: Path) -> None:
    with haywain.open(str(tmp_path / "var"), workers=3) as portal:
        backend = parallel.HaywainBackend(portal)
        assert [backend.effective_n_jobs(n) for n in (-1, -2, -9, None, 7)] == [3, 2, 1, 1, 7]
        with pytest.raises(ValueError, match="no meaning"):
            backend.effective_n_jobs(0)

        def beat(portal: Portal) -> None:
            Outbox.of(portal.root).beats.update({"other": time.time(), "silent": time.time() - 100})

        portal.site.transact(beat)
        assert backend.effective_n_jobs(-1) == 4


def test_backend_wants_a_portal_that_may_run_any_code(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="Say on which portal"):
        joblib.parallel_config(backend="haywain", portal="http://127.0.0.1:8080")
    with haywain.open(str(tmp_path / "var")) as portal:
        analyst = portal.site.open(User("ana", frozenset({"Analyst"})))
        with analyst, pytest.raises(ForbiddenError):
            joblib.parallel_config(backend="haywain", portal=analyst)


def test_activity_does_not_wait_for_batches(tmp_path: Path) -> None:
    with haywain.open(str(tmp_path / "var")) as portal:
        kind = portal.site.registry.activities["seal"]

        def run(work: Work) -> Any:
            with joblib.parallel_config(backend="haywain", portal=work.portal, n_jobs=2):
                joblib.Parallel()(joblib.delayed(abs)(n) for n in range(3))

        kind.run = run  # type: ignore[method-assign, assignment]
        job = portal.new("Data Stream").activate().seal()
        portal.commit()
        assert "does not wait" in str(job.wait().error)


def test_call_of_a_killed_notebook_is_not_run_any_more_and_goes_after_a_day(
    tmp_path: Path, set_clock: Any
) -> None:
    with haywain.open(str(tmp_path / "var")) as portal:
        call: Any = portal.new("Parallel Call")
        call.queue(0, packing.pack(lambda: 1))
        with pytest.raises(GoneError, match="not been heard of"):
            set_clock.forward(days=1.1)
            call._run_batch(0)
        portal.commit()
        kind = portal.site.registry.activities["forget_call"]
        assert list(kind.due(portal, 0, 0).found) == [call.path]
        job = call.activate().forget_call()
        portal.commit()
        assert job.wait().state == "done"
        assert not list(portal.root["parallel_call_module"].documents)
        assert [len(s.activities) for s in Outbox.of(portal.root).shards if len(s.activities)] == [1]


def test_worker_elsewhere_that_is_killed_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs in a second process over ZEO, which is killed in the middle of a batch."""
    monkeypatch.setattr(sweeper, "HEARTBEAT_S", 0.5)
    here, ran = os.getpid(), tmp_path / "ran"
    ran.mkdir()

    def others() -> list[Path]:
        return [path for path in ran.iterdir() if not path.name.endswith(f"-{here}")]

    def square(number: int) -> int:
        (ran / f"{number}-{os.getpid()}").touch()
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and (os.getpid() != here or not others()):
            time.sleep(0.01)  # here until it runs elsewhere too, there until it is killed
        return number * number

    with (
        DatabaseProgram(tmp_path / "db") as server,
        Program(tmp_path / "other", "--database", server.url, HAYWAIN_WORKERS="1") as other,
        haywain.open(server.url, workers=1, data=str(tmp_path / "mine")) as portal,
    ):
        killer = threading.Thread(target=lambda: (until(others, "a batch elsewhere", 40), other.kill()))
        killer.start()
        with joblib.parallel_config(backend="haywain", portal=portal):
            found = joblib.Parallel(batch_size=1)(joblib.delayed(square)(n) for n in range(6))
        killer.join()
        assert found == [n * n for n in range(6)]
        (elsewhere,) = others()
        assert (ran / f"{elsewhere.name.partition('-')[0]}-{here}").exists()
        left(portal)
