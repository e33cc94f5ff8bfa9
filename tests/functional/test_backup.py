"""`haywain backup` beside a portal that ingests, and the drill: `haywain restore`, verify, serve."""

import json
import threading
from pathlib import Path

from tests.functional.program import PASSWORD, Client, Make, Program, run

import haywain


def send(client: Client, stop: threading.Event, acknowledged: list[int]) -> None:
    while not stop.is_set():
        answer = client.ingest("flow", b"%08d" % len(acknowledged))
        assert answer.is_stored, answer
        acknowledged.append(answer.receipt[2])


def flow(client: Client) -> bytes:
    return client.data(client.search(portal_type="Data Stream", reference="flow")["items"][0]["path"])


def test_backups_of_a_portal_that_serves_are_restored_and_served(make: Make, folder: Path) -> None:
    program = make().start()
    client = program.client()
    client.stream("uploaded", b"u" * 3_000_000)
    stop, acknowledged, least = threading.Event(), list[int](), list[int]()
    sender = threading.Thread(target=send, args=(client, stop, acknowledged))
    sender.start()
    told = []
    try:
        for _ in range(4):
            least.append(len(acknowledged))
            done = run("backup", folder / "my backups", "--data", program.data, "--json")
            assert done.returncode == 0, done.stderr
            told.append(json.loads(done.stdout))
    finally:
        stop.set()
        sender.join()
    assert [one["kind"] for one in told] == ["full", "incremental", "incremental", "incremental"]
    program.kill()
    for number, (one, count) in enumerate(zip(told, least, strict=True)):
        target = folder / f"restored{number}"
        found = run("restore", folder / "my backups", "--data", target, "--at", one["time"], "--json")
        assert found.returncode == 0, (found.stdout, found.stderr)
        report = json.loads(found.stdout)
        assert report["tid"] == one["tid"] and report["verified"]["ok"]
        with Program(target) as again:
            data = flow(again.client())
            assert len(data) // 8 >= count
            assert data == b"".join(b"%08d" % n for n in range(len(data) // 8))
            assert again.client().search(reference="uploaded")["items"][0]["size"] == 3_000_000
            assert again.stop() == 0, again.log


def test_the_lines_and_exit_codes_of_backup_and_restore(folder: Path) -> None:
    data, dest = folder / "var", folder / "backups"
    with haywain.open(str(data)) as portal:
        portal.new("Data Stream", reference="x").append(b"bytes")  # type: ignore[attr-defined]
        portal.commit()
    first = run("backup", dest, "--data", data)
    assert (first.returncode, first.stderr) == (0, "") and "haywain: full backup 20" in first.stdout
    assert "unchanged" in run("backup", dest, "--data", data).stdout
    assert run("backup", dest, "--database", "zeo://127.0.0.1:1").returncode == 78
    assert run("backup", data / "inside", "--data", data).returncode == 78
    assert run("restore", dest, "--data", data).returncode == 78
    assert run("restore", dest, "--data", folder / "new", "--at", "never").returncode == 2
    early = run("restore", dest, "--data", folder / "new", "--at", "2020-01-01")
    assert early.returncode == 1 and "no backup from then or before" in early.stderr
    restored = run("restore", dest, "--data", folder / "new")
    assert restored.returncode == 0 and restored.stdout.rstrip().endswith("sound")
    assert run("verify", "--data", folder / "new").returncode == 0
    with Program(folder / "new", HAYWAIN_ADMIN_PASSWORD=PASSWORD) as again:
        assert again.stop() == 0, again.log


def test_a_restore_of_damaged_blobs_says_so(folder: Path) -> None:
    data, dest = folder / "var", folder / "backups"
    with haywain.open(str(data)) as portal:
        stream = portal.new("Data Stream", reference="x")
        stream.append(b"bytes" * 1000)  # type: ignore[attr-defined]
        stream.close_tail()  # type: ignore[attr-defined]
        portal.commit()
        stream.seal(0)  # type: ignore[attr-defined]
        portal.commit()
    assert run("backup", dest, "--data", data).returncode == 0
    (blob,) = (dest / "blobs").rglob("*.blob")
    blob.unlink()
    blob.write_bytes(b"other" * 1000)
    restored = run("restore", dest, "--data", folder / "new")
    assert restored.returncode == 1 and "not as it was written" in restored.stderr
    assert "checksum: data_stream_module/" in restored.stdout
