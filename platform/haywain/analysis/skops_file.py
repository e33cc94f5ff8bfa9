"""Trained estimators as skops files: no pickle, and only classes of the scientific libraries are loaded.

skops names every type that a file has.  Those that it does not trust by itself are trusted here if they are
classes of scikit-learn, NumPy or SciPy; functions are not, since a file could have one called.
https://skops.readthedocs.io/en/stable/persistence.html
"""

import importlib
from typing import Any

from haywain.errors import InvalidError

_PACKAGES = ("numpy", "scipy", "sklearn")
_LACKING = "This needs scikit-learn and skops: install haywain with the extra science"


def dump(estimator: Any) -> bytes:  # Any: scikit-learn has no types
    """Return the bytes of a skops file; raises InvalidError for an estimator that `load` would refuse."""
    io = _skops()
    try:
        data: bytes = io.dumps(estimator)
    except Exception as error:  # what cannot be told without pickle raises what it likes
        raise InvalidError(f"A {type(estimator).__name__} cannot be kept as skops: {error}"[:500]) from error
    _trusted(data)
    return data


def load(data: bytes) -> Any:  # Any: as above
    """Return the estimator of a skops file; raises InvalidError, which names types that are not trusted."""
    trusted = _trusted(data)
    try:
        return _skops().loads(data, trusted=trusted)
    except Exception as error:  # a damaged file raises what it likes
        raise InvalidError(f"The skops file cannot be loaded: {error}"[:500]) from error


def versions() -> dict[str, str]:
    """Return the versions with which a file is written."""
    names = {"scikit-learn": "sklearn", "skops": "skops"}
    return {title: str(importlib.import_module(name).__version__) for title, name in names.items()}


def _skops() -> Any:  # Any: skops has no types
    try:
        return importlib.import_module("skops.io")
    except ImportError as error:
        raise InvalidError(_LACKING) from error


def _trusted(data: bytes) -> list[str]:
    try:
        named: list[str] = _skops().get_untrusted_types(data=data)
    except InvalidError:
        raise
    except Exception as error:  # as above
        raise InvalidError(f"This is no skops file: {error}"[:500]) from error
    refused = sorted(name for name in named if not _is_class(name))
    if refused:
        raise InvalidError(
            f"The estimator has types that are not loaded: {', '.join(refused)}"[:1000]
            + "; only classes of scikit-learn, NumPy and SciPy are"
        )
    return named


def _is_class(name: str) -> bool:
    """Return whether a name is that of a class of a package that is trusted."""
    module, _, attribute = name.rpartition(".")
    if module.partition(".")[0] not in _PACKAGES or ".externals" in module or ".tests" in module:
        return False
    try:
        return isinstance(getattr(importlib.import_module(module), attribute), type)
    except (ImportError, AttributeError):
        return False
