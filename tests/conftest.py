"""What every test stands on: a clean environment, free ports, and what Debian brings."""

import os
import shutil
import socket
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest
from argon2 import PasswordHasher
from tests import elsewhere
from tests.functional.program import DatabaseProgram
from tests.storages import Storage, chosen

from haywain import clock
from haywain.app import open_site
from haywain.portal import Portal, Site
from haywain.security import passwords
from haywain.settings import load

SOUNDS = Path("/usr/share/sounds/alsa")
CONTINUE = "`make test` installs it where root or passwordless sudo allows"

# Hypothesis keeps no examples between runs, so that a run depends on the commit only.
hypothesis.settings.register_profile("test", deadline=None, database=None, derandomize=True)
EXAMPLES = int(os.environ.get("HAYWAIN_EXAMPLES", "2000"))
hypothesis.settings.register_profile("campaign", deadline=None, max_examples=EXAMPLES)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))

# How much `make campaign` does.
CAMPAIGN = (
    "HAYWAIN_ACTIVITIES",
    "HAYWAIN_CUTS",
    "HAYWAIN_EXAMPLES",
    "HAYWAIN_FLIPS",
    "HAYWAIN_KILLS",
    "HAYWAIN_RECORDS",
    "HAYWAIN_SEED",
    "HAYWAIN_SOAK_S",
    "HAYWAIN_SPECTRUM_MIB",
    "HAYWAIN_TAILS",
    "HAYWAIN_UPLOAD_MIB",
)
for _name in [name for name in os.environ if name.startswith("HAYWAIN_") and name not in CAMPAIGN]:
    del os.environ[_name]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on the storages that its marker names, and with each way to find what was written."""
    kinds = chosen(metafunc.definition.get_closest_marker("storages"))
    if kinds and "storage_kind" in metafunc.fixturenames:
        metafunc.parametrize("storage_kind", kinds, indirect=True, scope="module")
    if "finding" in metafunc.fixturenames:
        ways = elsewhere.chosen(metafunc.definition.get_closest_marker("views"))
        metafunc.parametrize("finding", ways, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `tests/elsewhere.py` calls too much."""
    left = [item for item in items if elsewhere.is_too_much(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if not elsewhere.is_too_much(item)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what a test logged be sent between processes, lone surrogates included."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True, scope="session")
def cheap_passwords() -> Iterator[None]:
    """Hash passwords with less work: a real hash takes a core for 0.1 s and more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_process_stays() -> Iterator[None]:
    """Fail the run if it leaves a process behind."""
    yield
    left = psutil.Process().children(recursive=True)
    assert not left, [process.cmdline() for process in left]


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Debian's Chromium; without it the tests of pages fail."""
    found = shutil.which("chromium")
    if found is None:
        pytest.fail(f"chromium is missing; {CONTINUE}", pytrace=False)
    return found


@pytest.fixture(scope="session")
def sounds() -> list[Path]:
    """Real WAV files, those of Debian's alsa-utils; without them the tests that need them fail."""
    found = sorted(SOUNDS.glob("*.wav"))
    if not found:
        pytest.fail(f"alsa-utils is missing; {CONTINUE}", pytrace=False)
    return found


ADMIN_PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseProgram]:
    """`haywain zeo`, for all tests of this process that want a server."""
    with DatabaseProgram(tmp_path_factory.mktemp("zeo") / "var") as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log, running.log


@pytest.fixture
def finding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One of the ways to find what was written to a view, or none; see `tests/elsewhere.py`."""
    elsewhere.use(request.param, monkeypatch)
    return str(request.param)


@pytest.fixture(scope="module")
def storage_kind(request: pytest.FixtureRequest) -> str:
    """The kind of storage that a test runs on; see `tests/storages.py`."""
    return str(getattr(request, "param", "file"))


@pytest.fixture
def storage(storage_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty storage of that kind."""
    return make_storage(storage_kind, request, tmp_path)


def make_storage(kind: str, request: pytest.FixtureRequest, path: Path) -> Storage:
    server = request.getfixturevalue("database_server") if kind.startswith("zeo") else None
    made = Storage(kind, path, server)
    made.empty()
    return made


@pytest.fixture(scope="module")
def site(
    storage_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A data directory of the module's own, with its user admin."""
    directory = tmp_path_factory.mktemp("site")
    uri = "" if storage_kind == "file" else make_storage(storage_kind, request, directory).uri
    settings = load(data=directory / "var", database=uri, admin_password=ADMIN_PASSWORD, threads=8)
    opened, _ = open_site(settings)
    yield opened
    opened.close()


@pytest.fixture
def portal(site: Site) -> Iterator[Portal]:
    """A session as SYSTEM; what a test does not commit is gone after it."""
    with site.open() as opened:
        yield opened


class Clock:
    """The time that tests set."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def forward(self, seconds: float = 0, days: float = 0) -> None:
        self.now_s += seconds + days * 86_400


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still until a test moves it."""
    stopped = Clock(clock.now_s())
    monkeypatch.setattr(clock, "now_s", lambda: stopped.now_s)
    return stopped
