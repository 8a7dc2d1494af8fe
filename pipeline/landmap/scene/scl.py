"""L2A's scene classification (SCL): one band of classes from 0 to 11."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landmap.errors import SceneError
from landmap.io.remote import name_of
from landmap.left_out import NOT_CLASSIFIED
from landmap.products.product import SCL
from landmap.scene.clouds import LISTED, pixels_counted
from landmap.scene.mask_layers import Layer, thinned_layers
from landmap.scene.masks import Mask, MaskHeader, RasterMask, Rule, raster_on
from landmap.scene.source import Source
from landmap_models.sentinel2 import SCL_CLASSES

SCL_REASONS = {number: name for name, numbers in SCL_CLASSES.items() for number in numbers} | {0: NOT_CLASSIFIED}
"""The reason for which a pixel of each class is left out: of several names the last, so that all clouds are cloud."""
HIGHEST_CLASS = max(max(numbers) for numbers in SCL_CLASSES.values())


def find(path: str, scene: Source, header: MaskHeader | None) -> Scl | None:
    """The scene classification in a raster: its band called SCL, else its first band; None for other files.

    Args:
        path: File, URL or GDAL /vsi path.
        scene: The scene, on whose grid the classification is read.
        header: What the raster says of itself; None for a file of polygons.

    Raises:
        SceneError: The file can't be read, lies elsewhere, or holds only 0 and 1.
    """
    if header is None:
        return None
    number = header.names.index(SCL) + 1 if SCL in header.names else 1
    layers = raster_on(path, scene, lambda _: (number,))
    if _is_binary(layers):
        raise SceneError(
            f"{layers[0].source.redacted_path}: expected a scene classification, with classes from 0 to 11. Received: "
            "only 0 and 1, as in a mask. If its 1 is cloud: --mask FILE --invert-mask; if its 1 is clear: --mask FILE"
        )
    return Scl(name_of(path), layers)


def _is_binary(layers: tuple[Layer, ...]) -> bool:
    """Whether a band holds 0 and 1 and nothing else, by every n-th pixel."""
    values, valid, _ = thinned_layers(layers)
    found = set(np.unique(values[valid]).tolist())
    return found <= {0, 1} and 1 in found


def _rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """Rules that leave out these names in `SCL_CLASSES`, and in any case what is not classified (0)."""
    numbers: dict[str, list[float]] = {NOT_CLASSIFIED: [0]}
    for number in sorted({number for name in names for number in SCL_CLASSES[name]} - {0}):
        numbers.setdefault(SCL_REASONS[number], []).append(number)
    return tuple(Rule(0, tuple(values), reason) for reason, values in numbers.items())


@dataclass(frozen=True, slots=True)
class Scl:
    """A scene classification, as of L2A: one band of classes from 0 to 11."""

    name: str
    """Name of its file or band."""
    layers: tuple[Layer, ...]
    """Its band, on the scene's grid."""

    @property
    def knows(self) -> frozenset[str]:
        """All names in `SCL_CLASSES`."""
        return frozenset(SCL_CLASSES)

    def mask(self, names: Sequence[str], text: str) -> Mask:
        """The mask that leaves out these classes, and what is not classified, as nothing is known of it."""
        return RasterMask(self.layers, _rules(names), NOT_CLASSIFIED, text=f"{text}, and what it does not classify")

    def shares(self) -> tuple[dict[str, float], str]:
        """Shares of cloud, shadow and snow in what is classified, 0 to 1, and a text that says of which pixels.

        Raises:
            SceneError: Its values are no classes from 0 to 11.
        """
        values, valid, step = thinned_layers(self.layers)
        found = values[..., 0][valid]
        if found.size and not 0 <= found.min() <= found.max() <= HIGHEST_CLASS:
            source, odd = self.layers[0].source, found.max() if found.max() > HIGHEST_CLASS else found.min()
            raise SceneError(
                f"{source.redacted_path}: expected a scene classification, with classes from 0 to {HIGHEST_CLASS}. "
                f"Received: {odd:g} among its values (band {source.band_indexes[0]})"
            )
        counts = np.bincount(found.astype(np.intp), minlength=HIGHEST_CLASS + 1)
        counts[0] = 0
        total = int(counts.sum())
        if not total:
            return {}, "it classifies nothing"
        numbers = {name: [n for n, reason in SCL_REASONS.items() if reason == name] for name in LISTED}
        return {name: float(counts[n].sum() / total) for name, n in numbers.items()}, pixels_counted(step)
