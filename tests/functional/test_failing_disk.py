"""A disk that reports errors: the real program ends, and nothing that it acknowledged is lost."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.functional.program import Program

FAULTY = """
    import errno, os, sys
    from pathlib import Path
    fsync, is_faulty = os.fsync, Path(sys.argv.pop(1))
    def failing(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if is_faulty.exists() and path.endswith(is_faulty.read_text()):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        fsync(descriptor)
    os.fsync = failing
    import ZODB.FileStorage.FileStorage
    sys.modules["ZODB.FileStorage.FileStorage"].fsync = failing
    from haywain.cli import main
    main(sys.argv[1:])
"""


class FaultyProgram(Program):
    """`haywain serve` on a disk whose syncs fail once a file says so, of paths that end with its content."""

    @property
    def switch(self) -> Path:
        return self.data.with_name("faulty")

    def launch(self, port: int = 0) -> None:
        command = [sys.executable, "-c", textwrap.dedent(FAULTY), str(self.switch), "serve"]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data), "--port", str(port)],
                env={"PATH": "/usr/bin:/bin", **self.environment},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip


def test_an_error_of_the_disk_ends_the_portal_and_loses_nothing(folder: Path) -> None:
    """EIO from the sync of a commit: it is in doubt.  The sender sends again, under its key."""
    from urllib3.exceptions import HTTPError

    with FaultyProgram(folder / "var") as program:
        client = program.client()
        for number in range(3):
            assert client.ingest("flow", b"%d" % number, f"key-{number}").is_stored
        program.switch.write_text("Data.fs")
        with pytest.raises(HTTPError):
            client.ingest("flow", b"3", "key-3")
        assert program.wait() == 75
        assert "in doubt" in program.log and "Input/output error" in program.log
        program.switch.unlink()
    with Program(folder / "var") as again:
        client = again.client()
        (flow,) = client.search(portal_type="Data Stream", reference="flow")["items"]
        assert client.data(flow["path"]) == b"012"
        assert client.ingest("flow", b"3", "key-3").is_stored
        assert client.ingest("flow", b"2", "key-2").headers["Ingest-Status"] == "duplicate"
        assert client.data(flow["path"]) == b"0123"


def test_an_error_at_a_blob_refuses_the_upload_and_the_portal_goes_on(folder: Path) -> None:
    """Nothing was voted for, so nothing is in doubt."""
    with FaultyProgram(folder / "var") as program:
        client = program.client()
        path = client.stream("uploaded")
        program.switch.write_text(".blob")
        assert client("PUT", f"/{path}/data", b"x" * 3_000_000).status in (500, 503)
        program.switch.unlink()
        assert client.data(path) == b""
        assert client("PUT", f"/{path}/data", b"y" * 3_000_000).status == 200
        assert client.data(path) == b"y" * 3_000_000
        assert len(list((program.data / "blobs").rglob("*.blob"))) == 1
