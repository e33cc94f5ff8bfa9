"""Policies of a running portal: a rule that is written beside it is taken up, and serves the next request."""

from pathlib import Path

from tests.functional.program import Make, until
from tests.ingestion.test_watch import SOURCE


def test_rule_is_taken_up_while_the_portal_serves(make: Make, folder: Path) -> None:
    rules = folder / "var" / "ingestion_policies"
    with make() as program:
        client = program.client()
        rules.mkdir()
        path = rules / "shout.py"
        path.write_text(SOURCE.format(name="shout", cls="Shout", what="chunk.body.upper()"))
        url = "/portal_ingestion_policies/shout/ingest?reference=heard"

        def post() -> str:
            answer = client("POST", url, b"a", {"Content-Type": "application/octet-stream"})
            assert answer.is_stored, answer.headers
            return client.data(answer.receipt[1]).decode()[answer.receipt[2] :]

        until(lambda: client("GET", "/api/v1/ingestion-policies/shout").status == 200, "the rule")
        assert post() == "A"
        path.write_text(SOURCE.format(name="shout", cls="Shout", what="b'<' + chunk.body + b'>'"))
        until(lambda: post() == "<a>", "the change")
        path.write_text("this is no Python")
        problem = until(
            lambda: client("GET", "/api/v1/ingestion-policies/shout").json["problem"], "the error"
        )
        assert "SyntaxError" in problem and "shout.py" in program.log and post() == "<a>"
        page = client("GET", "/portal_ingestion_policies/shout", headers={"Accept": "text/html"})
        assert "SyntaxError" in page.body.decode()
        assert program.stop() == 0
        client.close()
