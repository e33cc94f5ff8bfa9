"""Loggers and scripts that speak HTTP, each on the configuration of its page, through a bad proxy."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from tests.functional import doors
from tests.functional.doors import Proxy, block, bytes_of, lines_of, new_token, replaced, running
from tests.functional.program import Client, Program, until

BIG = os.urandom(3 << 20)
RAW = ("--header", "Content-Type: application/octet-stream")


@pytest.fixture(scope="session")
def token(client: Client) -> str:
    """A token that may ingest, and nothing else."""
    return new_token(client, "ingest:default")


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_curl_stores_once_what_it_sends_again(
    program: Program, client: Client, token: str, tmp_path: Path
) -> None:
    page = replaced(block("curl.md", "send"), **{"--retry 100": "--retry 100 --retry-delay 1"})
    with Proxy(program.url, 503, "lost") as proxy:
        script = written(tmp_path / "send", replaced(page, portal=proxy.url, token=token), stat.S_IRWXU)
        (tmp_path / "readings").write_bytes(BIG)
        subprocess.run([script, "doors.curl", tmp_path / "readings"], check=True, timeout=30)
        assert len(proxy.seen) == 3 and len(set(proxy.seen)) == 1
    assert bytes_of(client, "doors.curl") == BIG


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--http1.0", *RAW, "--data-binary", "@-"], id="http-1.0"),
        pytest.param(["--header", "Expect: 100-continue", *RAW, "--data-binary", "@-"], id="expect"),
        pytest.param(["--request", "POST", "--upload-file", "-"], id="pipe"),
        pytest.param(["--request", "POST", "--upload-file", "-", "--header", "Content-Type: "], id="no-type"),
        pytest.param(["--header", "Content-Type: x", "--data-binary", "@-"], id="odd-type"),
        pytest.param(["--header", "Content-Type: application/x-ndjson", "--data-binary", "@-"], id="ndjson"),
    ],
)
def test_curl_sends_in_all_the_ways_it_knows(
    program: Program, client: Client, token: str, options: list[str], request: pytest.FixtureRequest
) -> None:
    tag = f"doors.{request.node.callspec.id}"
    url = f"{program.url}/portal_ingestion_policies/default/ingest?reference={tag}"
    command = ["curl", "--fail", "--silent", "--show-error", "--user", f"any:{token}", *options, url]
    subprocess.run(command, input=BIG, check=True, timeout=30)
    assert bytes_of(client, tag) == BIG


def test_syslog_ng_sends_again_what_was_refused(
    program: Program, client: Client, token: str, tmp_path: Path
) -> None:
    syslog_ng, log = doors.debian("usr/sbin/syslog-ng"), tmp_path / "app.log"
    modules = next(doors.UNPACKED.glob("usr/lib/syslog-ng/3*"))
    log.write_text('one\ntwo "quoted"\n')
    with Proxy(program.url, 401, 503) as proxy:
        text = replaced(
            block("syslog-ng.md", "/etc/syslog-ng/conf.d/haywain.conf"),
            portal=proxy.url, token=token, **{"/var/log/app.log": log},
        )  # fmt: skip
        text = replaced(
            text,
            **{
                "reliable(yes)": f'reliable(yes) dir("{tmp_path}")',
                "timeout(1000)": "timeout(100)",
                "reopen(5)": "reopen(1)",
            },
        )
        own = written(tmp_path / "syslog-ng.conf", "@version: 3.38\n" + text)
        command = [
            syslog_ng,
            "--foreground",
            "--stderr",
            "--no-caps",
            "--cfgfile",
            own,
            "--module-path",
            modules,
        ]
        command += [f"--{name}={tmp_path / name}" for name in ("persist-file", "pidfile", "control")]
        with running(command, tmp_path / "log"):
            assert [r["message"] for r in lines_of(client, "syslog.app", 2)] == ["one", 'two "quoted"']
            with log.open("a") as more:
                more.write("three\n")
            records = lines_of(client, "syslog.app", 3)
    assert records[2]["message"] == "three" and len({record["id"] for record in records}) == 3


def test_rsyslog_stores_once_what_it_sends_again(
    program: Program, client: Client, token: str, tmp_path: Path
) -> None:
    rsyslog, log = doors.debian("usr/sbin/rsyslogd"), tmp_path / "app.log"
    modules = next(doors.UNPACKED.glob("usr/lib/*/rsyslog"))
    log.write_text('one\ntwo "quoted"\nthree\n')
    with Proxy(program.url, 503, "lost", "", 502) as proxy:
        secret = block("rsyslog.md", "/etc/rsyslog.d/haywain.curl")
        options = written(tmp_path / "haywain.curl", replaced(secret, token=token))
        script = replaced(
            block("rsyslog.md", "/usr/local/bin/haywain-rsyslog"),
            portal=proxy.url, **{"/etc/rsyslog.d/haywain.curl": options, "syslog.app": "rsyslog.app"},
        )  # fmt: skip
        sender = written(tmp_path / "haywain-rsyslog", script, stat.S_IRWXU)
        text = replaced(
            block("rsyslog.md", "/etc/rsyslog.d/haywain.conf"),
            **{
                "/var/log/app.log": log,
                "/usr/local/bin/haywain-rsyslog": sender,
                'Interval="5"': 'Interval="1"',
            },
        )
        own = written(tmp_path / "rsyslog.conf", f'global(workDirectory="{tmp_path}")\n{text}')
        with running([rsyslog, "-n", "-f", own, "-i", tmp_path / "pid", "-M", modules], tmp_path / "log"):
            records = lines_of(client, "rsyslog.app", 3)
            until(lambda: len(proxy.seen) >= 6, "the last try")
        keys = [key for key, _ in proxy.seen]
    assert [record["message"] for record in records] == ["one", 'two "quoted"', "three"]
    assert len(keys) == 6 and len(set(keys)) == 3 and keys[0] == keys[1] == keys[2]


def test_collectd_sends_what_it_measures(
    program: Program, client: Client, token: str, tmp_path: Path
) -> None:
    collectd = doors.debian("usr/sbin/collectd")
    text = replaced(
        block("collectd.md", "/etc/collectd/collectd.conf.d/haywain.conf"),
        portal=program.url, token=token, **{"FlushInterval 10": "FlushInterval 1"},
    )  # fmt: skip
    head = f"""
        Hostname "greenhouse"
        Interval 0.2
        PluginDir "{doors.UNPACKED / "usr/lib/collectd"}"
        BaseDir "{tmp_path}"
        TypesDB "{doors.UNPACKED / "usr/share/collectd/types.db"}"
        LoadPlugin load
    """
    own = written(tmp_path / "collectd.conf", head + text)
    with running([collectd, "-f", "-C", own, "-P", tmp_path / "pid"], tmp_path / "log"):
        body = until(lambda: bytes_of(client, "greenhouse.collectd"), "measurements").decode()
    measured, _ = json.JSONDecoder().raw_decode(body)
    assert measured[0]["host"] == "greenhouse" and measured[0]["plugin"] == "load"
