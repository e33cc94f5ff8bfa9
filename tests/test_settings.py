"""Settings: flag over environment over ini file over default."""

from pathlib import Path

import pytest

from haywain.errors import DataDirectoryError
from haywain.settings import load


def ini(folder: Path, text: str) -> Path:
    path = folder / "haywain.ini"
    path.write_text(text)
    return path


def test_first_that_is_given_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ini(tmp_path, "[haywain]\nport = 1\nthreads = 6\nhost = ini\n")
    monkeypatch.setenv("HAYWAIN_PORT", "3")
    monkeypatch.setenv("HAYWAIN_THREADS", "5")
    found = load(config, port=5, host=None)
    assert (found.port, found.threads, found.host, found.ledger_days) == (5, 5, "ini", 30)


@pytest.mark.parametrize(
    "text",
    ["[haywain]\nport = many\n", "[haywain]\nprot = 1\n", "[other]\n", "no ini", "[haywain]\nthreads = 0\n"],
    ids=["no number", "unknown", "no section", "no ini", "too few"],
)
def test_bad_file_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataDirectoryError) as caught:
        load(ini(tmp_path, text))
    assert caught.value.exit_code == 78


def test_missing_file_and_bad_flag_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError, match="cannot be read"):
        load(tmp_path / "none.ini")
    with pytest.raises(DataDirectoryError, match="'port'"):
        load(port=70_000)


def test_a_percent_sign_is_a_percent_sign(tmp_path: Path) -> None:
    assert load(ini(tmp_path, "[haywain]\nadmin_password = 50%more%%\n")).admin_password == "50%more%%"


@pytest.mark.parametrize(("given", "counts_as"), [(1, 4), (4, 4), (5, 5)])
def test_few_threads_count_as_four(given: int, counts_as: int) -> None:
    assert load(threads=given).threads == counts_as


def test_what_is_off_may_be_set_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAYWAIN_FORWARD_PORT", "")
    monkeypatch.setenv("HAYWAIN_FORWARD_USERS", "")
    assert (load().forward_port, load().forward_users) == (None, None)
