"""Makes ``import dranspose``, ``import azint`` and ``import workflows`` resolve to glimt where those are not installed.

A finder in front of `sys.meta_path`: it steps back where a package of the name is installed, and nothing of these names
is installed by glimt. In front, because the ordinary finder would load ``dranspose.event`` from our package's folder a
second time, as another module.
"""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

ALIASES = {
    "dranspose": "glimt.compat.dranspose",
    "azint": "glimt.compat.azint",
    "workflows": "glimt.compat.workflows",
}


class _AliasLoader(Loader):
    """Gives out a module that is already there under another name."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._own_spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._target)
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just written the alias's spec into the module, which has run long ago.
        module.__spec__ = self._own_spec


class AliasFinder(MetaPathFinder):
    """Finds other people's import names in glimt.

    Parameters
    ----------
    extra : mapping of str to str
        Further aliases of whole modules, such as ``{"dranspose.replay": "package.module"}``.
    """

    def __init__(self, extra: Mapping[str, str] | None = None) -> None:
        self._extra = dict(extra or {})

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of an aliased module, ``None`` for all others."""
        root, _, rest = fullname.partition(".")
        package = ALIASES.get(root)
        if package is None or (rest and getattr(sys.modules.get(root), "__name__", "") != package):
            return None  # not ours, or below the real package
        if not rest and PathFinder.find_spec(root) is not None:
            return None  # the real package is installed
        name = self._extra.get(fullname, f"{package}.{rest}" if rest else package)
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                return None
            raise
        return ModuleSpec(fullname, _AliasLoader(name), is_package=hasattr(module, "__path__"))


def install_aliases(extra: Mapping[str, str] | None = None) -> None:
    """Install the finder, once."""
    if not any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, AliasFinder(extra))
