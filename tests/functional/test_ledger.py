"""Keys: a chunk that is sent again is stored once, and its receipt is the first one."""

import gzip

from tests.functional.program import Client, Program


def test_duplicate_gets_the_first_receipt(client: Client) -> None:
    first = client.ingest("again", b"once", key="duplicate-receipt-k1")
    client.ingest("again", b", more", key="duplicate-receipt-k2")
    again = client.ingest("again", b"once", key="duplicate-receipt-k1")
    assert first.receipt[0] == "stored" and again.receipt == ("duplicate", *first.receipt[1:])
    assert client.data(first.receipt[1]) == b"once, more"


def test_body_is_compared_decoded(client: Client) -> None:
    first = client.ingest("again-packed", b"once", key="body-decoded-k")
    packed = [gzip.compress(b"once", mtime=mtime) for mtime in (1, 2)]
    for body in packed:
        again = client.ingest(
            "again-packed", body, key="body-decoded-k", headers={"Content-Encoding": "gzip"}
        )
        assert again.receipt == ("duplicate", *first.receipt[1:])


def test_key_of_other_bytes_is_quarantined_once(client: Client) -> None:
    first = client.ingest("reused", b"one", key="key-once-k")
    other = client.ingest("reused", b"two", key="key-once-k")
    assert other.receipt[0] == "quarantined"
    assert client.ingest("reused", b"two", key="key-once-k").receipt == ("duplicate", *other.receipt[1:])
    assert client.ingest("reused", b"one", key="key-once-k").receipt == ("duplicate", *first.receipt[1:])
    assert client.data(first.receipt[1]) == b"one"
    assert client.data(other.receipt[1]) == b"two"


def test_chunk_that_grew_is_completed(client: Client) -> None:
    """Fluentd after a power cut: the chunk has its old id, and lines that it had not when it was sent."""
    lines = b'{"n": 1}\n{"n": 2}\n'
    first = client.ingest("grown", lines, key="chunk-completed-k")
    grown = client.ingest("grown", lines + b'{"n": 3}\n', key="chunk-completed-k")
    assert grown.receipt[:4] == ("stored", first.receipt[1], 0, 27)
    again = client.ingest("grown", lines + b'{"n": 3}\n', key="chunk-completed-k")
    assert again.receipt == ("duplicate", *grown.receipt[1:])
    assert client.data(first.receipt[1]) == lines + b'{"n": 3}\n'


def test_chunk_that_grew_behind_others_or_inside_a_line_is_quarantined(client: Client) -> None:
    client.ingest("grown-late", b"1\n", key="chunk-quarantined-a")
    client.ingest("grown-late", b"2\n", key="chunk-quarantined-b")
    assert client.ingest("grown-late", b"1\n3\n", key="chunk-quarantined-a").receipt[0] == "quarantined"
    client.ingest("grown-cut", b"1", key="chunk-quarantined-c")
    assert client.ingest("grown-cut", b"12\n", key="chunk-quarantined-c").receipt[0] == "quarantined"


def test_keys_belong_to_their_sender(program: Program, client: Client) -> None:
    agents = []
    for name in ("one", "two"):
        token = client.make("token_module", reference=name, login="admin", scopes=["ingest:*"])
        agents.append(program.client({"Authorization": f"Bearer {token['secret']}"}))
    receipts = [agent.ingest("scopes", b"x", key="keys-sender-k").receipt for agent in agents]
    assert [(status, offset) for status, _, offset, _, _ in receipts] == [("stored", 0), ("stored", 1)]
    for agent in agents:
        agent.close()
