"""Chain: documents that go on one another, each the successor of at most one, like the parts of a recording.

Both ends say it, as a property and as a category, and change in one transaction: `predecessor` of the one is
`successor` of the other.  A chain that bites its own tail is refused; two transactions that do not see each
other may still close one together, so that who follows a chain stops where it began.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from haywain import clock
from haywain.document import Document, PortalRoot, Properties
from haywain.errors import InvalidError

_OTHER_END = {"predecessor": "successor", "successor": "predecessor"}

_DocumentPath = Annotated[str, AfterValidator(lambda path: path.strip("/"))]


class ChainProperties(Properties):
    """Properties of a kind whose documents make chains."""

    predecessor: _DocumentPath = Field("", max_length=600, description="Path of what this one goes on.")
    successor: _DocumentPath = Field("", max_length=600, description="Path of what goes on this one.")


def follow(document: Document, name: str) -> list[Document]:
    """Return what comes before (`predecessor`) or behind (`successor`) a document, the nearest first."""
    found: list[Document] = []
    root = _root_of(document)
    other = _linked(root, document, name) if root is not None else None
    while root is not None and other is not None and other is not document and other not in found:
        found.append(other)
        other = _linked(root, other, name)
    return found


def check_ends(document: Document, properties: ChainProperties, old: ChainProperties | None = None) -> None:
    """Raise InvalidError for neighbours that are not there, of another kind, taken, or of the other side.

    One that it had before (`old`) and that was deleted since is no reason.
    """
    root = _root_of(document)
    if root is None:  # asked again when it is in its module
        return
    before = _neighbour(root, document, "predecessor", properties, old)
    after = _neighbour(root, document, "successor", properties, old)
    if after is document:
        raise InvalidError(f"successor: {document.path} does not come behind itself")
    seen: set[Document] = set()
    while before is not None and before not in seen:
        if before is document or before is after:
            raise InvalidError(f"predecessor: {properties.predecessor} comes behind {document.path} as well")
        seen.add(before)
        further = _linked(root, before, "predecessor")
        before = None if further is document else further  # of a successor that it has no longer


def connect(document: Document, old: ChainProperties | None = None) -> None:
    """Have the neighbours of a document say so too, and those of before no longer."""
    root, now = _root_of(document), document.properties
    if root is None:
        return
    for name, other_end in _OTHER_END.items():
        was, is_now = (_at(root, getattr(ends, name)) if ends else None for ends in (old, now))
        if was is not None and was is not is_now and _linked(root, was, other_end) is document:
            _point(was, other_end, "")
        if is_now is not None and _linked(root, is_now, other_end) is not document:
            _point(is_now, other_end, document.path)
    _categorise(document)


def _neighbour(
    root: PortalRoot, document: Document, name: str, new: ChainProperties, old: ChainProperties | None
) -> Document | None:
    path: str = getattr(new, name)
    other = _at(root, path)
    if path and (other is None or other.portal_type != document.portal_type):
        if old is not None and path == getattr(old, name):
            return None
        raise InvalidError(f"{name}: there is no {document.portal_type} at {path[:200]!r}")
    taken = _linked(root, other, _OTHER_END[name]) if other is not None else None
    if other is not None and taken is not None and taken is not document:
        raise InvalidError(f"{name}: {path} has {taken.path} for its {_OTHER_END[name]}; change that first")
    return other


def _point(document: Document, name: str, path: str) -> None:
    document._values = {**document._values, name: path}
    document.__dict__.pop("_v_properties", None)
    document.edited = clock.now_s()
    _categorise(document)
    document.reindex()


def _categorise(document: Document) -> None:
    others = tuple(one for one in document.categories if one[0] not in _OTHER_END)
    ends = [(name, getattr(document.properties, name)) for name in _OTHER_END]
    now = (*others, *((name, path) for name, path in ends if path))
    if now != document.categories:
        document.categories = now


def _linked(root: PortalRoot, document: Document, name: str) -> Document | None:
    return _at(root, getattr(document.properties, name, ""))


def _at(root: PortalRoot, path: str) -> Document | None:
    module, _, id = path.partition("/")
    try:
        return root[module][id]
    except KeyError:
        return None


def _root_of(document: Document) -> PortalRoot | None:
    return document.__parent__.__parent__ if document.__parent__ is not None else None
