"""The configuration: what is wrong is said with the file, the key and what is near it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.functional.program import run

from haywain.agent.config import load_config
from haywain.agent.source import source_class, source_types
from haywain.cli import cli
from haywain.errors import AgentConfigurationError

GOOD = """
[portal]
url = "http://127.0.0.1:8080"
token = "t0ken"
[spool]
folder = "spool"
[sources.web]
type = "tail"
files = ["/var/log/*.log"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(GOOD)
    return path


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_good_configuration_has_its_defaults(file: Path) -> None:
    config = load_config(file, {})
    assert config.folder == file.parent / "spool"
    (source,) = config.sources
    assert (source.name, source.config.policy, source.config.tag) == ("web", "default", "{host}.{stem}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("files", "flies", r"there is no setting sources.web.flies; did you mean files\?"),
        ('"tail"', '"tial"', r"sources.web.type: there is no source 'tial'; did you mean tail\?"),
        ('type = "tail"', "", "sources.web.type must be given: one of .*command, folder"),
        ("[portal]", "[protal]", r"there is no setting protal; did you mean portal\?"),
        ('files = ["/var/log/*.log"]', "", "sources.web.files must be given"),
        ('["/var/log/*.log"]', "[]", r"sources.web.files: expected array of length >= 1"),
        ('["/var/log/*.log"]', "5", r"sources.web.files: expected array, got int"),
        ('token = "t0ken"', "", "portal.token must be given, or token_file, or HAYWAIN_TOKEN be set"),
        ('token = "t0ken"', 'token = "a"\nuser = "b"', "portal: token and user are given; one is enough"),
        ('token = "t0ken"', 'token_file = "gone"', "portal.token_file cannot be read"),
        ("http://127.0.0.1:8080", "ftp://x", "The URL of a Portal looks like"),
        ('url = "http://127.0.0.1:8080"', "", "portal.url must be given, or HAYWAIN_URL"),
        ('folder = "spool"', "", "spool.folder must be given"),
        ('"spool"', '"spool"\nbytes = "many"', "spool.bytes: 'many' is no size; write 512 MiB"),
        ('"spool"', '"spool"\nbytes = 5', "spool.bytes: at least"),
        ('"tail"', '"tail"\ntag = "{nmae}"', r"sources.web.tag: .* names {nmae}; did you mean name\?"),
        ('"tail"', '"tail"\ntag = "{name!r}"', "may hold {name} only as it is"),
        ('"tail"', '"tail"\ntag = "{"', "cannot be read"),
        ('"tail"', '"tail"\npoll_s = 0', "sources.web.poll_s: expected float > 0"),
        ("[sources.web]", "[sources]", "sources.type.type must be given"),
        ("[spool]", "[spool", "is no TOML"),
    ],
    ids=lambda value: None,
)  # fmt: skip
def test_mistake_is_said_with_file_and_key(old: str, new: str, message: str, file: Path) -> None:
    change(file, old, new)
    with pytest.raises(AgentConfigurationError, match=message) as raised:
        load_config(file, {})
    assert raised.value.detail.startswith(str(file))
    assert raised.value.exit_code == 78


def test_no_source_is_refused(file: Path) -> None:
    file.write_text(GOOD.partition("[sources")[0])
    with pytest.raises(AgentConfigurationError, match="there is no source: add a table"):
        load_config(file, {})


def test_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(AgentConfigurationError, match="cannot be read: No such file"):
        load_config(tmp_path / "gone.toml")


def test_url_and_token_come_from_the_environment(file: Path) -> None:
    change(file, 'url = "http://127.0.0.1:8080"\ntoken = "t0ken"', "")
    config = load_config(file, {"HAYWAIN_URL": "http://host", "HAYWAIN_TOKEN": "secret"})
    assert (config.url, config.credentials) == ("http://host", "secret")


def test_token_comes_from_a_file_beside_it(file: Path) -> None:
    (file.parent / "token").write_text("from-file\n")
    change(file, 'token = "t0ken"', 'token_file = "token"')
    assert load_config(file, {}).credentials == "from-file"


def test_relative_paths_are_below_the_folder_of_the_file(file: Path) -> None:
    change(file, "/var/log/*.log", "logs/*.log")
    file.write_text(f'{file.read_text()}[sources.files]\ntype = "folder"\nfolder = "in"\n')
    tail, folder = load_config(file, {}).sources
    assert (tail.config.files, folder.config.folder) == ([f"{file.parent}/logs/*.log"], f"{file.parent}/in")


def test_account_is_another_for_another_token_or_portal(file: Path) -> None:
    accounts = [load_config(file, {}).account]
    change(file, "t0ken", "other")
    accounts.append(load_config(file, {}).account)
    change(file, "8080", "8081")
    accounts.append(load_config(file, {}).account)
    assert len(set(accounts)) == 3


def test_every_source_is_found_by_its_file(root: Path) -> None:
    files = (root / "platform/haywain/agent/sources").glob("[!_]*.py")
    assert source_types() == sorted(path.stem for path in files)
    for name in source_types():
        assert source_class(name).__module__ == f"haywain.agent.sources.{name}"


def test_every_setting_is_documented(root: Path) -> None:
    page = (root / "docs" / "agent.md").read_text()
    for name in source_types():
        section = page.partition(f"### `{name}`")[2].partition("\n##")[0]
        common = page.partition("## Sources")[2].partition("###")[0]
        for setting in source_class(name).Config.__struct_fields__:
            assert f"`{setting}`" in section + common, f"{name}.{setting}"


@pytest.fixture
def root() -> Path:
    return Path(__file__).parents[2]


def test_dry_run_says_what_would_be_done_and_makes_nothing(file: Path) -> None:
    done = CliRunner().invoke(cli, ["agent", "--config", str(file), "--dry-run"])
    assert done.exit_code == 0
    assert "nothing is connected to" in done.output
    assert "web (tail): lines of /var/log/*.log" in done.output
    assert sorted(path.name for path in file.parent.iterdir()) == ["agent.toml"]


def test_dry_run_finds_what_cannot_be_read(file: Path) -> None:
    change(file, 'type = "tail"\nfiles = ["/var/log/*.log"]', 'type = "folder"\nfolder = "/no/such"')
    done = CliRunner().invoke(cli, ["agent", "--config", str(file), "--dry-run"])
    assert isinstance(done.exception, AgentConfigurationError)
    assert "sources.web: folder: /no/such is no folder" in str(done.exception)


def test_unit_runs_this_configuration(file: Path) -> None:
    done = CliRunner().invoke(cli, ["agent", "--config", str(file), "--systemd"])
    assert f"agent --config {file}" in done.output
    assert f"ReadWritePaths={file.parent}/spool" in done.output
    assert "RestartPreventExitStatus=78 77" in done.output


def test_status_before_the_first_start_is_said(file: Path) -> None:
    done = CliRunner().invoke(cli, ["agent", "--config", str(file), "--status"])
    assert "No agent has run" in str(done.exception)


def test_status_of_an_agent_that_ended(file: Path) -> None:
    (file.parent / "x.log").write_bytes(b"1\n")
    change(file, "/var/log/*.log", str(file.parent / "*.log"))
    change(file, "8080", "9")
    assert run("agent", "--config", file, "--once", "--wait", "0.2").returncode == 75
    done = CliRunner().invoke(cli, ["agent", "--config", str(file), "--status", "--json"])
    assert done.exit_code == 1
    status = json.loads(done.output)
    assert status["running"] is False and status["waiting_chunks"] == 1
    assert status["sources"]["web"]["waiting_bytes"] == 2
    assert "No answer from" in status["trouble"]
    told = CliRunner().invoke(cli, ["agent", "--config", str(file), "--status"]).output
    assert "not running" in told and "web (tail): read 2 bytes, waiting 2, sent 0" in told
