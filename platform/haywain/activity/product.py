"""Products: the documents that a kind of work makes of another, found again when it runs again."""

from typing import TYPE_CHECKING, Any

from haywain.document import NAME_LENGTH, Document

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

    Its category `source` names what it was made of.  Two that make it at once conflict, and one stays.
    """
    key = f"{source.path} {purpose} {portal_type}"
    found = portal.root.find("product", key)
    if found is None:
        found = portal.new(portal_type, reference=reference[:NAME_LENGTH])
        portal.root.claim("product", key, found)
        found.link("source", source)
    if any(getattr(found.properties, name) != value for name, value in properties.items()):
        found.edit(**properties)
    return found


def name_of(document: Document) -> str:
    """Return what people call a document: its reference, else its id."""
    return document.reference or document.id
