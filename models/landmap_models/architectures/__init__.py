"""Networks by name, one module each: a new network is a new file here, and nothing else.

A module `some_net.py` with a tuple `OPTIONS` is the architecture "some-net". It has `build(shape, options)`, which
returns a `keras.Model` of reflectance `(n, chip_size, chip_size, bands)` to probabilities `(n, classes)`. The model
begins with `shape.reflectance_input` and ends with a layer "features" and `shape.head`; `OPTIONS` names the fields of
`ArchitectureOptions` that the module reads. Command line, comparisons and tests find the module by themselves.

A module with a constant `ANSWERS = "pixel"` answers for each pixel of a window of any size: its model takes reflectance
`(n, height, width, bands)`, and, where `shape.flags` is set, flags `(n, bands)`, and gives probabilities `(n, height,
width, classes)`. Its `STEP` is the number of pixels of which sides of windows are multiples, and `margin(options)` how
far from the edge of a window answers may depend on the padding.
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
_PER_PIXEL = re.compile(r'^ANSWERS = "pixel"', re.MULTILINE)


def _modules(declaration: re.Pattern[str]) -> dict[str, str]:
    """Modules that are architectures and have a declaration, by name of the architecture.

    They are read, not imported: importing them imports Keras, and the command line wants their names only.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    texts = {file.stem: file.read_text("utf-8") for file in sources}
    stems = [stem for stem, text in texts.items() if _DECLARATION.search(text) and declaration.search(text)]
    return {stem.replace("_", "-"): stem for stem in stems if stem != _FAMILY}


_MODULES = _modules(_DECLARATION)
ARCHITECTURES = (*_MODULES, *APPLICATIONS)
"""Names that `build` knows: our own, and those of `keras.applications` in lower case."""
OF_PIXELS = tuple(_modules(_PER_PIXEL))
"""Those of networks that answer for each pixel; the others answer for a chip."""


def build(name: str, shape: Any, options: ArchitectureOptions | None = None) -> Any:
    """Build a network.

    Args:
        name: One of `ARCHITECTURES`.
        shape: A `shape.NetworkShape`: number of classes and bands, and chip size.
        options: Options of the network; None leaves all to the architecture.

    Returns:
        A `keras.Model` of reflectance `(n, chip_size, chip_size, bands)` to probabilities `(n, classes)`.

    Raises:
        ModelError: The name is unknown, the architecture has no such option or is of the other kind, or the weights
            don't fit.
    """
    if name not in ARCHITECTURES:
        raise ModelError(f"Expected an architecture out of {', '.join(ARCHITECTURES)}. Received: {name!r}")
    check_kind(name, per_pixel=bool(shape.middle))
    options = options or ArchitectureOptions()
    module = import_module(f"{__name__}.{_MODULES.get(name, _FAMILY)}")
    options.refuse_others(name, module.OPTIONS)
    if name in APPLICATIONS:
        return module.build(APPLICATIONS[name], shape, options)
    return module.build(shape, options)


def check_kind(name: str, *, per_pixel: bool) -> None:
    """Refuse an architecture that answers for a chip where answers for pixels are wanted, and the other way round.

    Raises:
        ModelError: It is of the other kind.
    """
    if (name in OF_PIXELS) != per_pixel:
        wanted = OF_PIXELS if per_pixel else [known for known in ARCHITECTURES if known not in OF_PIXELS]
        data = "images with masks" if per_pixel else "chips with one label each"
        raise ModelError(f"Expected an architecture for {data}: {', '.join(wanted)}. Received: {name!r}")


def reach(name: str, options: ArchitectureOptions) -> tuple[int, int]:
    """Margin and step in pixels of an architecture out of `OF_PIXELS`, built with these options."""
    module = import_module(f"{__name__}.{_MODULES[name]}")
    return int(module.margin(options)), int(module.STEP)
