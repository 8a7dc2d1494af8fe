"""Networks by name, one module each: a new network is a new file here, and nothing else.

A module `some_net.py` with a tuple `OPTIONS` is the architecture "some-net". It has `build(shape, options)`, which
returns a `keras.Model` of reflectance `(n, chip_size, chip_size, bands)` to probabilities `(n, classes)`. The model
begins with `shape.reflectance_input` and ends with a layer "features" and `shape.head`; `OPTIONS` names the fields of
`ArchitectureOptions` that the module reads. Command line, comparisons and tests find the module by themselves.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from landmap_models.architectures.application_table import APPLICATIONS
from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.errors import ModelError

_FAMILY = "applications"
"""The module that builds all networks of `keras.applications`."""
_DECLARATION = re.compile(r"^OPTIONS = \(", re.MULTILINE)


def _modules() -> dict[str, str]:
    """Modules that are architectures, by name of the architecture.

    They are read, not imported: importing them imports Keras, and the command line wants their names only.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    stems = [file.stem for file in sources if _DECLARATION.search(file.read_text("utf-8"))]
    return {stem.replace("_", "-"): stem for stem in stems if stem != _FAMILY}


_MODULES = _modules()
ARCHITECTURES = (*_MODULES, *APPLICATIONS)
"""Names that `build` knows: our own, and those of `keras.applications` in lower case."""


def build(name: str, shape: Any, options: ArchitectureOptions | None = None) -> Any:
    """Build a network.

    Args:
        name: One of `ARCHITECTURES`.
        shape: A `shape.NetworkShape`: number of classes and bands, and chip size.
        options: Options of the network; None leaves all to the architecture.

    Returns:
        A `keras.Model` of reflectance `(n, chip_size, chip_size, bands)` to probabilities `(n, classes)`.

    Raises:
        ModelError: The name is unknown, the architecture has no such option, or the weights don't fit.
    """
    if name not in ARCHITECTURES:
        raise ModelError(f"Expected an architecture out of {', '.join(ARCHITECTURES)}. Received: {name!r}")
    options = options or ArchitectureOptions()
    module = import_module(f"{__name__}.{_MODULES.get(name, _FAMILY)}")
    options.refuse_others(name, module.OPTIONS)
    if name in APPLICATIONS:
        return module.build(APPLICATIONS[name], shape, options)
    return module.build(shape, options)
