"""The parameters of an address: those that a view knows, each given once."""

from collections.abc import Iterable, Mapping

from webob.multidict import MultiDict

from haywain.errors import InvalidError, UnknownNameError


def given_once(get: MultiDict, known: Iterable[str]) -> Mapping[str, str]:
    """Return the parameters of an address by name.

    Raises UnknownNameError for one that is not known, since what is misspelt would change nothing, and
    InvalidError for one that is given twice, of which one would be ignored.
    """
    names = tuple(known)
    found: dict[str, str] = {}
    for name, value in get.items():
        if name not in names:
            raise UnknownNameError("parameter", name, names)
        if name in found:
            raise InvalidError(f"{name} is given twice; say it once")
        found[name] = value
    return found
