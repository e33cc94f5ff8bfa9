"""What comes, on the page of an Ingestion Policy."""

from collections.abc import Callable

from webtest import TestApp

INGEST = "/portal_ingestion_policies/default/ingest?reference="
PRODUCER = {"Producer-Id": "gate <3>", "Producer-Epoch": "4", "Producer-Seq": "0"}


def test_page_says_what_came_from_whom_and_how_far_it_is(program: Callable[..., TestApp]) -> None:
    client = program("manager")
    for _ in range(2):
        client.post(
            f"{INGEST}arrivals.a", b"1\n2\n", content_type="application/octet-stream", headers=PRODUCER
        )
    page = client.get("/portal_ingestion_policies/default", headers={"Accept": "text/html"})
    (term,) = [term for term in page.html.select("#coming dt") if "arrivals.a" in term.text]
    told = " ".join(term.find_next("dd").text.split())
    assert term.find("bdi").text == "gate <3>"
    assert told.endswith("1 stored, 1 duplicate; numbered 1 in epoch 4")
    assert "records and" in page.html.select_one("#coming p").text
