"""Networks by name. One module each; a module is imported when its network is built."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from landmap_models.architectures.application_table import APPLICATIONS
from landmap_models.architectures.options import ArchitectureOptions
from landmap_models.errors import ModelError

_MODULES = {
    "compact": "compact",
    "compact-d4": "compact_d4",
    "cnn": "cnn",
    "vgg16-scratch": "vgg16_scratch",
    "efficientnet-lite0": "efficientnet_lite0",
}
ARCHITECTURES = (*_MODULES, *APPLICATIONS)
"""Names that `build` knows: our own, and those of `keras.applications` in lower case."""


def build(name: str, shape: Any, options: ArchitectureOptions | None = None) -> Any:
    """Build a network.

    Args:
        name: One of `ARCHITECTURES`.
        shape: A `shape.NetworkShape`: classes, bands, chip size.
        options: Choices; those that the architecture doesn't know are refused.

    Returns:
        A `keras.Model` of reflectance `(n, chip_size, chip_size, bands)` to probabilities `(n, classes)`.

    Raises:
        ModelError: Unknown name, an option that the architecture doesn't have, or weights that don't fit.
    """
    if name not in ARCHITECTURES:
        raise ModelError(f"Expected an architecture out of {', '.join(ARCHITECTURES)}. Received: {name!r}")
    options = options or ArchitectureOptions()
    module = import_module(f"{__name__}.{_MODULES.get(name, 'applications')}")
    options.refuse_others(name, module.OPTIONS)
    if name in APPLICATIONS:
        return module.build(APPLICATIONS[name], shape, options)
    return module.build(shape, options)
