"""Many at once: one key stored once, one stream a tag, every body in one piece, no conflict shown."""

import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.functional.program import Answer, Client

from haywain.values import KIB


def test_one_key_sent_16_times_at_once_is_stored_once(client: Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.ingest("sixteen", b"once", key="sixteen"), range(16)))
    assert {answer.status for answer in answers} == {200}
    assert Counter(answer.receipt[0] for answer in answers) == {"stored": 1, "duplicate": 15}
    assert len({answer.receipt[1:] for answer in answers}) == 1
    assert client.data(answers[0].receipt[1]) == b"once"


def test_64_first_posts_to_4_new_tags_make_4_streams(client: Client) -> None:
    def send(number: int) -> Answer:
        return client.ingest(f"first-{number % 4}.temperature", b"%03d\n" % number)

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(send, range(64)))
    assert all(answer.is_stored for answer in answers)
    found = client.search(portal_type="Data Stream", reference="first-%")["items"]
    assert sorted(item["reference"] for item in found) == [f"first-{n}.temperature" for n in range(4)]
    assert {answer.receipt[1] for answer in answers} == {item["path"] for item in found}
    for item in found:
        tag = int(item["reference"][6])
        lines = client.data(item["path"]).splitlines()
        assert sorted(map(int, lines)) == list(range(tag, 64, 4))
    for kind, count in (("Data Product", 1), ("Data Supply", 4)):
        references = "temperature" if kind == "Data Product" else "first-%"
        assert client.search(portal_type=kind, reference=references)["count"] == count


def test_parallel_posts_to_one_tag_keep_every_body_in_one_piece(client: Client) -> None:
    bodies = [bytes([number]) * ((number % 7 + 1) * 16 * KIB) for number in range(32)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: client.ingest("contiguous", body), bodies))
    content = client.data(answers[0].receipt[1])
    assert len(content) == sum(map(len, bodies))
    for body, answer in zip(bodies, answers, strict=True):
        offset, length = answer.receipt[2:4]
        assert zlib.crc32(content[offset : offset + length]) == zlib.crc32(body)


def test_replaces_and_appends_at_once_leave_what_one_order_of_them_leaves(client: Client) -> None:
    path = client.stream("torn", b"0" * 1000)

    def send(number: int) -> int:
        method = "PUT" if number % 4 == 0 else "POST"
        return client(method, f"/{path}/data", b"%d" % (number % 10) * 1000).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(32))) == {200}
    content = client.data(path)
    assert len(content) % 1000 == 0 and len(content) <= 26 * 1000
    blocks = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    assert all(len(set(block)) == 1 for block in blocks)
