"""A batch of chips with their labels, as one picture: what a model gets to see. matplotlib draws it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Floats
from landmap_models.errors import ReportError
from landmap_models.sentinel2 import TRUE_COLOR

MOST_CHIPS, MOST_COLUMNS = 64, 8
DPI = 110
CELL = 1.5
"""Inches of a column; a chip fills 0.94 of it."""
CAPTION = 0.3
"""Height of two lines of text, in columns."""
LINE = 25
"""Letters of a line of the caption."""
WHITE_PERCENTILE, GAMMA = 99.5, 0.8
"""Where the picture turns white, and how much dark water and forest are brightened."""


def batch_picture(
    chips: Floats,
    labels: Floats,
    class_names: Sequence[str],
    path: Path,
    band_names: Sequence[str] = TRUE_COLOR,
) -> None:
    """Draw the first 64 chips of a batch with the names of their classes, as a PNG file; an older file is replaced.

    All chips, and their red, green and blue, are stretched alike, from 0 to where the picture's brightest pixels lie: a
    chip that looks bluer or brighter than another is. Chips without B04, B03 or B02 show their first band in grey.

    Args:
        chips: Reflectance, `(n, height, width, bands)`.
        labels: `(n, classes)`: one-hot, shares that add up to 1, or several classes at once.
        class_names: By column of `labels`.
        path: The PNG file.
        band_names: Of the chips, in order.

    Raises:
        ReportError: There are no chips, numbers of bands or classes don't fit, matplotlib is missing, or the file can't
            be written.
    """
    _check(chips, labels, class_names, path, band_names)
    pictures = true_color(chips[:MOST_CHIPS], band_names)
    captions = [caption(label, class_names) for label in labels[:MOST_CHIPS]]
    try:
        _draw(pictures, captions, path)
    except ImportError as error:
        raise ReportError("Pictures of batches need matplotlib: pip install 'landmap[plot]'") from error
    except OSError as error:
        raise ReportError(f"{path}: can't be written ({error.strerror or error}). Choose another place") from error


def _check(chips: Floats, labels: Floats, class_names: Sequence[str], path: Path, band_names: Sequence[str]) -> None:
    if path.suffix.lower() != ".png":
        raise ReportError(f"{path}: expected a file name that ends in .png")
    wanted = len(chips), len(class_names), len(band_names)
    if labels.shape != wanted[:2] or chips.ndim != 4 or chips.shape[-1] != wanted[2] or not len(chips):
        raise ReportError(
            f"{path}: expected some chips (n, height, width, {wanted[2]}) and labels (n, {wanted[1]}). "
            f"Received: {chips.shape} and {labels.shape}; name each band and each class once"
        )


def true_color(chips: Floats, band_names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Red, green and blue as screens show them, `(n, height, width, 3)`, or the first band in grey.

    Args:
        chips: Reflectance, `(n, height, width, bands)`.
        band_names: Of the chips, in order.
    """
    colored = set(TRUE_COLOR) <= set(band_names)
    shown = chips[..., [band_names.index(b) for b in TRUE_COLOR] if colored else [0, 0, 0]]
    white = max(float(np.percentile(shown, WHITE_PERCENTILE)), 1e-6)
    stretched: npt.NDArray[np.uint8] = (255 * (shown / white).clip(0, 1) ** GAMMA).round().astype(np.uint8)
    return stretched


def caption(label: Floats, class_names: Sequence[str]) -> str:
    """A label in at most two lines: "River", "River 63 %" above "Forest 37 %", or names alone of several classes.

    "Forest 37 % +2" is one of four classes; long names are cut.

    Args:
        label: `(classes,)`.
        class_names: In that order.
    """
    order = [int(i) for i in np.argsort(-label, kind="stable") if label[i] >= 0.005]
    shares = [f" {100 * label[i]:.0f} %" if label[i] <= 0.995 else "" for i in order[:2]]
    if len(order) > 2:
        shares[1] += f" +{len(order) - 2}"
    lines = [_shortened(class_names[i], LINE - len(share)) + share for i, share in zip(order, shares, strict=False)]
    return "\n".join(lines) or "no class"


def _shortened(name: str, limit: int) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1].rstrip()}…"


def _draw(pictures: npt.NDArray[np.uint8], captions: Sequence[str], path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    columns = min(MOST_COLUMNS, len(pictures))
    height = pictures.shape[1] / pictures.shape[2]
    size = columns, -(-len(pictures) // columns) * (height + CAPTION)
    with rc_context({"text.parse_math": False}):  # names of classes are no formulas
        figure = Figure(figsize=(CELL * size[0], CELL * size[1]), dpi=DPI)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for i, (picture, text) in enumerate(zip(pictures, captions, strict=True)):
            _draw_chip(axes, picture, text, i % columns, (i // columns) * (height + CAPTION))
        axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
        figure.savefig(path, format="png")


def _draw_chip(axes: Any, picture: npt.NDArray[np.uint8], text: str, left: float, top: float) -> None:
    bottom = top + CAPTION + 0.94 * picture.shape[0] / picture.shape[1]
    extent = (left + 0.03, left + 0.97, bottom, top + CAPTION)
    axes.imshow(picture, interpolation="nearest", extent=extent, aspect="auto")
    axes.text(left + 0.5, top + CAPTION - 0.02, text, fontsize=7.5, ha="center", va="bottom", linespacing=1.05)
