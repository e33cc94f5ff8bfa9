"""An Alert of a running portal that is killed before it looks, and while its message is on the way."""

import json
import threading

from tests.functional.program import Client, Make, until
from tests.notice.servers import web_server
from urllib3.exceptions import HTTPError

AS_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


def to_rows(client: Client, stream: str) -> str:
    """Have rows be made of what a stream has; return where that is told of."""
    body = json.dumps({"method": "stream_to_array"}).encode()
    return str(client("POST", f"/{stream}/activities", body, AS_JSON).json["url"])


def is_done(client: Client, url: str) -> bool:
    try:
        return bool(client("GET", url).json["state"] == "done")
    except HTTPError:  # it was so slow that the look came first, and the kill with it
        return True


def test_a_crossing_is_told_once_by_one_key_whatever_is_killed(make: Make) -> None:
    program = make(HAYWAIN_WEBHOOK_HOSTS="127.0.0.1").start()
    client = program.client()
    stream = client.stream("bearing.csv", b"time,celsius\n2026-12-01T12:00:00Z,71.5\n")
    made = to_rows(client, stream)
    until(lambda: is_done(client, made), "an array")
    array = client("GET", made).json["result"]["array"]
    killed = threading.Event()

    def kill() -> None:
        if not killed.is_set():
            program.kill()
            killed.set()

    with web_server() as web:
        web.on_post = kill
        alert = client.make("alert_module", document=array, threshold=80, webhook=web.url)["path"]
        client("PATCH", f"/{alert}", b'{"transition": "validate"}', AS_JSON)
        client("POST", f"/{stream}/data", b"2026-12-01T12:00:10Z,81.25\n2026-12-01T12:00:20Z,82\n")
        more = to_rows(client, stream)
        until(lambda: is_done(client, more), "rows")
        program.kill()  # the rows are there, and nobody has looked at them yet
        if not web.posts:
            program.start()
        assert killed.wait(20)
        client = program.start().client()
        until(lambda: client("GET", f"/{alert}", None, AS_JSON).json["last_sent"], "the message to be noted")
        first, second = web.posts
        assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
        assert first.body == second.body
        found = client("GET", f"/{alert}", None, AS_JSON).json
        assert (found["condition"], found["row"], found["value"]) == ("firing", 2, 82)
        assert [line.split()[1] for line in found["log"]] == ["firing:", "webhook"]
        assert program.stop() == 0
