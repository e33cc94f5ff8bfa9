"""Lines that deliver a product: known to the root, and told to the Data Transformations that take it."""

from typing import Any

from haywain.activity.offers import Offers
from haywain.activity.watchers import Watchers, tell_watchers
from haywain.document import Document, PortalRoot
from haywain.errors import NotFoundError


def offer(line: Any, root: PortalRoot) -> None:  # Any: a line with a resource, of either kind
    """Have a line be found by its product, and who takes that look at it."""
    if "offers" in root.tools and line.properties.resource:
        Offers.of(root).offer(line.properties.resource, line.path)
        tell_takers(line)


def withdraw(line: Any) -> None:  # Any: as above
    """Have a line be found by its product no longer."""
    module = line.__parent__
    if module is not None and module.__parent__ is not None and "offers" in module.__parent__.tools:
        Offers.of(module.__parent__).withdraw(line.properties.resource, line.path)


def tell_takers(line: Any) -> None:  # Any: as above
    """Have the Data Transformations that take the product of a line look for what they are to be done to."""
    portal = getattr(line._p_jar, "portal", None)
    if portal is None:
        return
    try:
        product: Document = portal[line.properties.resource]
    except NotFoundError:
        return
    for taker in Watchers.of(portal.root).of_path(product.path):
        Offers.of(portal.root).note(taker, line.path)
    tell_watchers(product)
