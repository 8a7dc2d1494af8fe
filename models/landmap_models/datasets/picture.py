"""A batch of chips with their labels as one picture, as the model receives them; drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmap_models.arrays import Floats
from landmap_models.errors import ReportError
from landmap_models.legend import legend_for
from landmap_models.sentinel2 import TRUE_COLOR

MOST_CHIPS, MOST_COLUMNS = 64, 8
"""Most chips in a picture, and most of them side by side."""
DPI = 110
CELL = 1.5
"""Width of a column in inches, of which a chip fills 0.94."""
CAPTION = 0.3
"""Height of two lines of text, as a share of the width of a column."""
LINE = 25
"""Most letters in a line of a caption."""
WHITE_PERCENTILE, GAMMA = 99.5, 0.8
"""Percentile of the values that is drawn white, and exponent that brightens dark water and forest."""


def batch_picture(
    chips: Floats,
    labels: Floats,
    class_names: Sequence[str],
    path: Path,
    band_names: Sequence[str] = TRUE_COLOR,
) -> None:
    """Draw the first 64 chips of a batch with the names of their classes, as a PNG file; an older file is replaced.

    All chips, and their red, green and blue, are stretched alike, from 0 to the brightest pixels, so that colours can
    be compared. Chips without B04, B03 or B02 are drawn by their first band in grey. Where pixels have labels, the
    first 32 are drawn, each with its mask beside it.

    Args:
        chips: Reflectance, `(n, height, width, bands)`.
        labels: Labels `(n, classes)`: one-hot, shares that sum to 1, or several classes at once; or those of pixels,
            `(n, height, width, classes)`.
        class_names: Class names in the order of the columns of `labels`.
        path: The PNG file to write.
        band_names: Names of the bands of the chips, in order.

    Raises:
        ReportError: There are no chips, the number of bands or classes doesn't fit, matplotlib is missing, or the file
            can't be written.
    """
    per_pixel = labels.ndim == 4
    _check(chips, labels.mean(axis=(1, 2)) if per_pixel else labels, class_names, path, band_names)
    pictures = true_color(chips[:MOST_CHIPS], band_names)
    if per_pixel:
        masks = mask_pictures(labels[: MOST_CHIPS // 2], class_names)
        pictures = np.stack([pictures[: len(masks)], masks], axis=1).reshape(-1, *pictures.shape[1:])
        shares = labels[: len(masks)].mean(axis=(1, 2))
        captions = [text for share in shares for text in (caption(share, class_names), "")]
    else:
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
    """Convert reflectance to 8-bit red, green and blue, `(n, height, width, 3)`, or the first band to grey.

    Args:
        chips: Reflectance, `(n, height, width, bands)`.
        band_names: Names of the bands of the chips, in order.
    """
    colored = set(TRUE_COLOR) <= set(band_names)
    shown = chips[..., [band_names.index(b) for b in TRUE_COLOR] if colored else [0, 0, 0]]
    white = max(float(np.percentile(shown, WHITE_PERCENTILE)), 1e-6)
    stretched: npt.NDArray[np.uint8] = (255 * (shown / white).clip(0, 1) ** GAMMA).round().astype(np.uint8)
    return stretched


def mask_pictures(labels: Floats, class_names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Draw labels of pixels `(n, height, width, classes)` in the colours of their classes, black without a label."""
    colors = np.array([[int(c.color[i : i + 2], 16) for i in (1, 3, 5)] for c in legend_for(tuple(class_names))])
    drawn = np.where(labels.any(axis=-1, keepdims=True), colors[labels.argmax(axis=-1)], 0)
    return np.asarray(drawn, np.uint8)


def caption(label: Floats, class_names: Sequence[str]) -> str:
    """Write a label in at most two lines, such as "River", or "River 63 %" above "Forest 37 %".

    Of more than two classes the second line ends in the number of the others, "+2"; long names are shortened.

    Args:
        label: Share of each class, `(classes,)`.
        class_names: Class names in the order of `label`.
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
