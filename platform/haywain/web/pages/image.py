"""The page of an image: the picture, where it comes from, its bytes to download."""

from typing import cast

from pyramid.config import Configurator
from pyramid.request import Request

from haywain.document import Document
from haywain.interfaces import ByteStream
from haywain.web.pages.document import Fact, facts_of
from haywain.web.pages.figures import Moment, count_text, size_text
from haywain.web.pages.page import Values, add_page, head_of


def show(context: Document, request: Request) -> Values:
    """Show an image; its address changes with its bytes, so that no browser shows an old one."""
    image = cast(ByteStream, context)
    facts = [fact for fact in facts_of(context, request) if fact.name != "Description"]
    return {
        "head": head_of(context, request),
        "size": size_text(image.size),
        "facts": [
            Fact("Exactly", count_text(image.size, "byte")),
            *facts,
            Fact("Last change", "", moment=Moment.at(context.modified)),
            Fact("Created", "", moment=Moment.at(context.created)),
            Fact("Path", context.path),
        ],
        "description": context.properties.description,
        "version": image.etag,
    }


def includeme(config: Configurator) -> None:
    """Register the page."""
    add_page(config, show, "image", context=Document, portal_type="Image")
