"""Products: the documents that a kind of work makes of another, found again when it runs again."""

from typing import TYPE_CHECKING, Any

from haywain.document import NAME_LENGTH, Document
from haywain.errors import InvalidError

if TYPE_CHECKING:
    from haywain.portal import Portal


def product_of(
    portal: "Portal",
    source: Document,
    purpose: str,
    portal_type: str,
    reference: str,
    **properties: Any,  # Any: the schema knows the types
) -> Document:
    """Return the document that was made of `source` for a purpose; make it if there is none.

    Its category `source` names what it was made of.  Two that make it at once conflict, and one stays.  A
    source that comes to lie where another one lay has products of its own.
    """
    key = f"{source.uid} {purpose} {portal_type}"
    found = portal.root.find("product", key)
    if found is None:
        found = portal.new(portal_type, reference=reference[:NAME_LENGTH])
        portal.root.claim("product", key, found)
        found.link("source", source)
    if any(getattr(found.properties, name) != value for name, value in properties.items()):
        found.edit(**properties)
    return found


def edition_of(document: Document) -> int:
    """Return the edition of a document's bytes or rows; 0 if its kind has none."""
    return int(getattr(document, "edition", 0))


def extent_of(document: Any) -> int:  # Any: of whatever kind
    """Return how long a document is: an array in rows, others in bytes."""
    if hasattr(type(document), "row_bytes"):
        return len(document) if document.is_created else 0
    return int(document.size)


def check_edition(document: Document, edition: int) -> None:
    """Raise InvalidError if the content of a document is another than that of an edition."""
    if edition_of(document) != edition:
        raise InvalidError(
            f"The {document.portal_type} {name_of(document)} was replaced while it was read; run it again"
        )


def name_of(document: Document) -> str:
    """Return what people call a document: its reference, else its id."""
    return document.reference or document.id
