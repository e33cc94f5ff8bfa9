"""`haywain worker`: what it needs, and says that it does."""

from pathlib import Path

import pytest

from haywain.cli import main
from haywain.store.directory import DataDirectory

BROKER = ("--broker", "redis://127.0.0.1:1")
DATABASE = ("--database", "zeo://127.0.0.1:1")


def refused(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code and what is said on stderr."""
    with pytest.raises(SystemExit) as ended:
        main(["worker", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(DATABASE, "A worker needs a broker", id="no broker"),
        pytest.param(BROKER, "A worker needs a database that is served", id="no database"),
        pytest.param((*BROKER, *DATABASE, "--queues", "a b"), "'queues' cannot be used", id="no queue"),
    ],
)
def test_what_it_needs_is_said_in_one_line(
    arguments: tuple[str, ...], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refused("--data", tmp_path / "var", *arguments, capsys=capsys)
    assert code == 78 and text in said and said.count("\n") == 1


def test_a_directory_has_one_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = DataDirectory(tmp_path)
    directory.open()
    code, said = refused("--data", tmp_path, *BROKER, *DATABASE, capsys=capsys)
    directory.close()
    assert code == 75 and "is in use by" in said
