"""Forms of documents: make, change, refuse, move."""

import pytest
from tests.web.pages.conftest import Browser

from haywain.portal import Site


def test_new_stream_is_made_and_shown(manager: Browser) -> None:
    form = manager.form("/data_stream_module/new")
    form["reference"], form["title"] = "new.csv", "A table"
    page = form.submit(status=303).follow()
    assert page.html.find("h1").text == "new.csv" and "A table" in page and "Created." in page
    assert "There are none yet" in page


def test_address_fills_the_form(manager: Browser) -> None:
    assert manager.form("/data_stream_module/new?reference=given")["reference"].value == "given"


def test_mistake_stands_beside_its_field_and_nothing_typed_is_lost(site: Site, manager: Browser) -> None:
    form = manager.form("/data_stream_module/new")
    form["reference"], form["description"], form["content_type"] = "kept", "all\r\nof it", "nonsense"
    page = form.submit(status=400)
    field = page.html.find(id="content_type")
    assert field["value"] == "nonsense" and field["aria-invalid"] == "true"
    wrong = page.html.find(id=field["aria-describedby"]).find(class_="wrong").text
    assert wrong == "This must look like text/csv."
    assert page.html.find(id="reference")["value"] == "kept"
    assert page.html.find(id="description").text.splitlines() == ["all", "of it"]
    with site.open() as portal:
        assert portal.catalog(reference="kept").count() == 0


def test_edit_changes_what_was_changed(manager: Browser, paths: dict[str, str]) -> None:
    form = manager.form(f"/{paths['weather.log']}/edit")
    form["title"] = "Rain"
    page = form.submit(status=303).follow()
    assert "Saved." in page and page.html.select_one(".sub bdi").text == "Rain"
    assert manager.form(f"/{paths['weather.log']}/edit")["reference"].value == "weather.log"


def test_mistake_in_no_single_field_stands_on_top(manager: Browser) -> None:
    form = manager.form("/data_supply_module/new")
    form["effective"], form["expiration"] = "2026-02-01T00:00", "2026-01-01T00:00"
    assert "expiration must be later" in form.submit(status=400).html.find(role="alert").text.lower()
    form["expiration"] = "2026-03-01T12:30"
    page = form.submit(status=303).follow()
    assert "2026-03-01 12:30:00 UTC" in page


def test_duplicate_is_told_and_not_kept(site: Site, manager: Browser) -> None:
    form = manager.form("/portal_ingestion_policies/new")
    form["reference"] = "default"
    assert "already" in form.submit(status=409).html.find(role="alert").text


def test_only_transitions_that_leave_the_state_are_offered(manager: Browser) -> None:
    form = manager.form("/data_product_module/new")
    form["reference"] = "moving"
    page = form.submit().follow()

    def offered() -> list[str]:
        return [button["value"] for button in page.html.select("button[name=transition]")]

    assert offered() == ["validate", "delete"]
    where = page.request.path
    page = manager.send(f"{where}/transition", transition="validate").follow()
    assert offered() == ["invalidate"] and page.html.select_one(".state").text == "validated"
    assert page.html.select_one(".history li").text.split()[:3] == ["Validate", "by", "admin"]
    manager.send(f"{where}/transition", status=400, transition="validate")
    manager.send(f"{where}/transition", status=400, transition="explode")


def test_nobody_makes_what_only_the_portal_makes(manager: Browser, paths: dict[str, str]) -> None:
    manager.get("/quarantine_module/new", status=404)
    manager.get(f"/{paths['../etc/passwd']}/edit", status=404)
    manager.send(f"/{paths['../etc/passwd']}/edit", status=404, reason="none")


def test_message_of_the_address_is_one_of_ours(manager: Browser) -> None:
    assert manager.get("/?done=Your+password+was+stolen").html.find(class_="notice") is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data_stream_module/new", "title"),
        ("/person_module/new", "password"),
        ("/token_module/new", "scopes"),
        ("/data_stream_module/{}/transition", "comment"),
    ],
)
def test_file_in_place_of_a_text_is_a_bad_request(
    manager: Browser, paths: dict[str, str], path: str, name: str
) -> None:
    token = manager.get("/search").html.find("meta", {"name": "csrf-token"})["content"]
    path = path.format(paths["weather.log"].rpartition("/")[2])
    fields = {"csrf_token": token, "transition": "validate", "reference": "never"}
    manager.post(path, fields, upload_files=[(name, "a.txt", b"text")], status=400)


def test_new_array_has_a_type_and_a_shape(manager: Browser) -> None:
    form = manager.form("/data_array_module/new")
    form["reference"], form["dtype"], form["shape"] = "made by hand", "nonsense", "x"
    page = form.submit(status=400)
    assert page.html.find(id="dtype")["aria-invalid"] == "true" and page.html.find(id="shape")["value"] == "x"
    assert "This must look like 0,2." in page
    form["dtype"], form["shape"] = "<f4", "3, 2"
    page = form.submit(status=303).follow()
    assert "3 × 2" in page and "float32" in page and len(page.html.tbody.find_all("tr")) == 3
    assert "dtype" not in manager.form(page.request.path + "/edit").fields
