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
    (row,) = [row for row in page.html.select("#coming tbody tr") if "arrivals.a" in row.text]
    cells = [cell.text for cell in row.select("td")]
    assert cells[0] == "gate <3>" and cells[3:] == ["1", "1", "0", "1 in epoch 4"]
    assert "records and" in page.html.select_one("#coming p").text
