"""Properties that are paths of other documents: checked, and kept as categories too.

A line belongs to a parent, which knows it by the category `line`: there is no other way to ask which lines a
document has.
"""

from collections.abc import Mapping

from haywain.document import Document, PortalRoot, Properties
from haywain.errors import InvalidError

Kinds = Mapping[str, tuple[str, ...]]
"""By the name of a property, the Portal Types of which one lies at its path; none named: any."""


def check_links(document: Document, properties: Properties, kinds: Kinds) -> None:
    """Raise InvalidError for a path at which none of the kinds lies."""
    root = document.__parent__.__parent__ if document.__parent__ is not None else None
    if root is None:  # asked again when it is in its module
        return
    for name, portal_types in kinds.items():
        path = getattr(properties, name)
        found = _at(root, path)
        if path and (found is None or (portal_types and found.portal_type not in portal_types)):
            raise InvalidError(
                f"{name}: there is no {' or '.join(portal_types) or 'document'} at {path[:200]!r}"
            )


def connect_links(document: Document, kinds: Kinds, parent: str = "") -> None:
    """Have the categories say what the properties say, and the parent that this is a line of it."""
    others = tuple(one for one in document.categories if one[0] not in kinds)
    paths = [(name, getattr(document.properties, name)) for name in kinds]
    before = document.linked(parent) if parent else []
    document.categories = (*others, *((name, path) for name, path in paths if path))
    root = document.__parent__.__parent__ if document.__parent__ is not None else None
    if root is None or not parent:
        return
    for path in before:
        old = _at(root, path)
        if old is not None and path not in document.linked(parent):
            old.categories = tuple(one for one in old.categories if one != ("line", document.path))
    for path in document.linked(parent):
        now = _at(root, path)
        if now is not None:
            now.link("line", document)


def _at(root: PortalRoot, path: str) -> Document | None:
    module, _, id = path.strip("/").partition("/")
    try:
        return root[module][id]
    except KeyError:
        return None
