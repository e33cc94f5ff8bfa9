"""The page of an image: the picture, what is known of it, and a form for its words."""

import io

import pytest
from PIL import Image as Picture
from tests.web.pages.conftest import Browser

from haywain.portal import Portal, Site


@pytest.fixture(scope="module")
def image(site: Site) -> str:
    def make(portal: Portal) -> str:
        made, file = portal.new("Image", reference="spot", description="A red spot."), io.BytesIO()
        Picture.new("RGB", (3, 2), "red").save(file, "PNG")
        made.replace(file.getvalue())
        return str(made.path)

    return site.transact(make)[0]


def test_page_shows_picture_and_facts(manager: Browser, image: str) -> None:
    found = manager.get(f"/{image}").html
    assert found.figure.img["src"].startswith(f"/{image}/data?v=")
    assert found.figcaption.text == "A red spot."
    names = [name.text for name in found.select("dl.facts dt")]
    assert {"Exactly", "Created", "Last change", "Path"} <= set(names)


def test_words_of_an_image_can_be_edited(manager: Browser, image: str) -> None:
    link = manager.get(f"/{image}").html.find("a", href=f"/{image}/edit")
    form = manager.form(link["href"])
    form["title"] = "A spot"
    assert "A spot" in form.submit(status=303).follow()


def test_what_came_from_elsewhere_stays_as_it_came(manager: Browser, paths: dict[str, str]) -> None:
    kept = paths["../etc/passwd"]
    assert manager.get(f"/{kept}").html.find("a", href=f"/{kept}/edit") is None
    assert "This Quarantine stays as it came" in manager.get(f"/{kept}/edit", status=404)
