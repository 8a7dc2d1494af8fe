"""Keras starts without the libraries that it can use and landmap never asks it to: they take a third of its import."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

OPTIONAL = frozenset({"matplotlib", "pandas", "sklearn"})
"""Keras draws galleries with the first, slices tables of the second, wraps models for the third, each where it can be
imported, and goes without where not."""


class _RefusedToKeras(MetaPathFinder):
    """Answers Keras's own imports of optional libraries as if they were not installed, and nobody else's."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Refuse an optional library if a module of Keras is importing it; leave all else to the other finders."""
        if fullname in OPTIONAL and _importer().startswith("keras."):
            raise ModuleNotFoundError(f"{fullname} is kept from Keras for a faster start", name=fullname)
        return None


def lean_keras() -> None:
    """Keep Keras from importing libraries that are optional to it, for as long as this process lives.

    Other modules import them as ever. Only for processes that are landmap's own, such as those of the command line:
    in a user's Python, Keras would lack what the user may want of it.
    """
    if not any(isinstance(finder, _RefusedToKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _RefusedToKeras())


def _importer() -> str:
    """Name of the module whose import statement is being carried out."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("importlib"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))
