"""Documents that ingestion finds by their reference, in the root's BTree: agents may see no catalog.

Several of a kind may have one reference, such as supplies that follow each other.
"""

from haywain.document import NAMED, Document, PortalRoot


def claim_name(document: Document) -> None:
    """Be found by the reference that a document has now, and no longer by an earlier one."""
    root = document.__parent__.__parent__ if document.__parent__ is not None else None
    if root is not None:
        _forget(root, document)
        key = f"{document.portal_type}\0{document.reference}\0{document.id}"
        root.claim(NAMED, key, document)


def _forget(root: PortalRoot, document: Document) -> None:
    old = tuple(claim for claim in document.claims if claim.startswith(f"{NAMED}:"))
    for claim in old:
        root.unique.pop(claim, None)
    if old:
        document.claims = tuple(claim for claim in document.claims if claim not in old)
