"""Everything at once for a while: agents, readers, searches, replaces; nothing fails, nothing tears."""

import io
import os
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from tests.campaign.conftest import Agents
from tests.campaign.records import by_sender
from tests.campaign.senders import TRY_AGAIN
from tests.functional.program import Client, Program

SOAK_S = int(os.environ.get("HAYWAIN_SOAK_S", "120"))


class Reader(threading.Thread):
    """Asks again and again; keeps which answers came, and what went wrong."""

    def __init__(self, client: Client, look: Callable[[Client], int]) -> None:
        super().__init__(daemon=True)
        self.client, self.look = client, look
        self.stopping, self.answers = threading.Event(), Counter[int]()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.answers[self.look(self.client)] += 1
        except BaseException as error:
            self.error = error

    def finish(self) -> None:
        self.stopping.set()
        self.join(60)
        if self.error is not None:
            raise self.error
        assert self.answers and set(self.answers) <= {200, 206, *TRY_AGAIN}, self.answers


def read_whole(path: str) -> Callable[[Client], int]:
    """Read a stream: whole records only, those of each agent in order and without a gap."""

    def look(client: Client) -> int:
        answer = client("GET", f"/{path}/data")
        if answer.status == 200:
            for sequences in by_sender(io.BytesIO(answer.body)).values():
                assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
        return answer.status

    return look


def read_ranges(path: str) -> Callable[[Client], int]:
    """Read the end of a stream twice, under the condition that it is still the same."""

    def look(client: Client) -> int:
        first = client("GET", f"/{path}/data", None, {"Range": "bytes=-1000"})
        if first.status != 206:
            return 200 if first.status == 416 else first.status
        condition = {"Range": first.headers["Content-Range"].replace("bytes ", "bytes=").partition("/")[0]}
        again = client("GET", f"/{path}/data", None, condition | {"If-Range": first.headers["ETag"]})
        assert again.status != 206 or again.body == first.body
        return again.status

    return look


def search(client: Client) -> int:
    """Find the streams; what is found has the properties that were asked for."""
    answer = client("GET", "/api/v1/search", portal_type="Data Stream", sort="-size,reference", limit=3)
    if answer.status == 200:
        assert {item["portal_type"] for item in answer.json["items"]} <= {"Data Stream"}
        assert answer.json["count"] >= 3
    return answer.status


@pytest.mark.parametrize(
    "seconds",
    [pytest.param(3), pytest.param(SOAK_S, marks=[pytest.mark.campaign, pytest.mark.timeout(SOAK_S + 300)])],
)
def test_everything_at_once(
    program: Program, agents: Agents, report: Callable[..., None], seconds: int
) -> None:
    agents.start()
    streams = agents.streams
    looks = [read_whole(streams["replaced"]), read_whole(streams["uploaded"]), search, search]
    looks += [read_ranges(streams["appended"]), read_ranges(streams["replaced"])]
    readers = [Reader(program.client(agents.headers), look) for look in looks]
    for reader in readers:
        reader.start()
    time.sleep(seconds)
    for reader in readers:
        reader.finish()
    agents.finish()
    assert program.stop() == 0
    assert " ERROR " not in program.log and "Traceback" not in program.log, program.log
    records = agents.check()
    report(
        seconds=seconds,
        records=records,
        chunks=sum(agent.chunks for agent in agents.all),
        answers_503=sum(agent.retries for agent in agents.all),
        reads=sum((reader.answers for reader in readers), Counter[int]()).total(),
    )
