"""Do something when a module is imported, be it now or later, without importing it.

joblib takes a third of a second to import, and most scripts that open a portal never need it.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


def when_imported(name: str, call: Callable[[], None]) -> None:
    """Call once the module of this name is there: at once, or behind its import; never if it is not."""
    if name in sys.modules:
        call()
    else:
        sys.meta_path.insert(0, _Finder(name, call))


class _Finder(MetaPathFinder):
    """Finds one module as it is found anyway, and has its loader call when the module is there."""

    def __init__(self, name: str, call: Callable[[], None]) -> None:
        self._name, self._call = name, call

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._name:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            self._have_it_call(spec.loader)
        return spec

    def _have_it_call(self, loader: object) -> None:
        execute: Callable[[ModuleType], None] = loader.exec_module  # type: ignore[attr-defined]  # a Loader's

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self._call()

        loader.exec_module = exec_module  # type: ignore[attr-defined]
