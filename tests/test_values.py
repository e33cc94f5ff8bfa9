"""Values: a receipt is headers that any client can read."""

from haywain.values import Offset, Path, Receipt, Tid


def test_receipt_is_headers_of_ascii() -> None:
    headers = Receipt("stored", Path("m/\u0436 x\r\n"), Offset(1), 2, Tid("0" * 16)).headers()
    assert dict(headers)["Ingest-Stream"] == "m/%D0%B6%20x%0D%0A"
    assert dict(headers)["Ingest-Offset"] == "1" and dict(headers)["Ingest-Length"] == "2"
    assert all(value.isascii() and value.isprintable() for _, value in headers)
