"""Webhooks over a real server: what is sent, what may be reached, what an answer means."""

import socket
import threading
from collections.abc import Iterator

import pytest
from tests.notice.servers import WebServer, web_server

from haywain.errors import InvalidError, NotSentError
from haywain.notice import webhook
from haywain.notice.webhook import Hosts, post, signature_of

HERE = Hosts(("127.0.0.1",))


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


def fails(url: str, hosts: Hosts = HERE) -> NotSentError:
    with pytest.raises(NotSentError) as caught:
        post(url, b"{}", "key", "", hosts)
    return caught.value


def test_it_is_posted_with_key_and_signature(web: WebServer) -> None:
    web.answers = [(204, {}, b"")]
    assert post(f"{web.url}?a=b", b'{"a": 1}', "1a2b", "secret", HERE) == 204
    (found,) = web.posts
    assert (found.path, found.body) == ("/hook?a=b", b'{"a": 1}')
    assert found.headers["Host"] == web.url.split("/")[2]
    assert found.headers["Idempotency-Key"] == "1a2b"
    assert found.headers["Content-Type"] == "application/json"
    assert found.headers["Haywain-Signature"] == signature_of("secret", b'{"a": 1}')


FOR_GOOD, FOR_NOW = (400, 404, 410), (408, 429, 500, 503)


@pytest.mark.parametrize(
    ("status", "is_final"),
    [*((status, True) for status in FOR_GOOD), *((status, False) for status in FOR_NOW)],
)
def test_answer_says_whether_to_try_again(web: WebServer, status: int, is_final: bool) -> None:
    web.answers = [(status, {}, b"\x00no\nway " + b"x" * 100_000)]
    error = fails(web.url)
    assert error.is_final is is_final
    assert str(error).startswith(f"127.0.0.1 answers {status}: no way xxx") and len(str(error)) < 260


def test_redirect_is_not_followed(web: WebServer) -> None:
    web.answers = [(307, {"Location": f"{web.url}/elsewhere"}, b"")]
    error = fails(web.url)
    assert error.is_final and "leads elsewhere" in str(error) and len(web.posts) == 1


OURS = (
    "127.0.0.1",
    "localhost",
    "10.1.2.3",
    "169.254.169.254",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[fe80::1]",
)


@pytest.mark.parametrize("host", OURS)
def test_own_network_is_refused_unless_it_is_named(web: WebServer, host: str) -> None:
    with pytest.raises(InvalidError, match="HAYWAIN_WEBHOOK_HOSTS may name it"):
        Hosts().check(f"http://{host}/")
    error = fails(web.url.replace("127.0.0.1", host), Hosts())
    assert error.is_final and not web.posts


@pytest.mark.parametrize("name", ["hooks.example.org", "rebinding.example.org"])
def test_name_that_leads_into_the_own_network_is_refused(
    web: WebServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is looked up is what is connected to."""
    asked: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("haywain.notice.webhook.socket.getaddrinfo", look_up)
    error = fails(web.url.replace("127.0.0.1", name), Hosts())
    assert error.is_final and "leads into this network" in str(error)
    assert asked == [name] and not web.posts


def test_only_the_hosts_named_are_reached(web: WebServer) -> None:
    hosts = Hosts.of("*.example.org, Hooks.Example.net")
    hosts.check("https://a.b.example.org/x")
    hosts.check("https://hooks.example.NET:8443/x")
    for url in ("https://example.org/", "https://example.com/", web.url):
        with pytest.raises(InvalidError, match="none of the hosts"):
            hosts.check(url)
    assert post(web.url, b"{}", "key", "", Hosts.of("*")) == 200


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "file:///etc",
        "//x/",
        "http://",
        "http://x:99999/",
        "http://u@x/",
        "http://x/\r\nA: b",
        "http://ä/",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidError):
        Hosts().check(url)


def test_no_answer_and_a_dripping_one_are_tried_again(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not fails(f"http://127.0.0.1:{free_port}/").is_final
    monkeypatch.setattr(webhook, "DEADLINE_S", 0.3)
    stop = threading.Event()

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            try:
                while not stop.wait(0.02):
                    connection.sendall(b"H")
            except OSError:
                return  # it was cut

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        error = fails(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        stop.set()
        thread.join(5)
    assert not error.is_final and "does not answer" in str(error)


def test_unknown_certificate_is_not_trusted(web: WebServer) -> None:
    assert not fails(web.url.replace("http:", "https:")).is_final
    assert not web.posts
