"""A picture of a scene beside its cover."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from landmap.errors import OutputError
from landmap.geo.geobox import north
from landmap.io.publish import new_file
from landmap.io.remote import name_of
from landmap.maps.cover import read_cover
from landmap.maps.legend import check_ids
from landmap.products.files import check_outputs
from landmap.report.pictures import check_cover, composite, metres_per_pixel, scale_bar, thinned_classes
from landmap.scene.scene import Scene, open_scene
from landmap.settings import Settings
from landmap_models.arrays import Bytes
from landmap_models.legend import NODATA, LandClass

MAX_SIDE = 1000
"""Longest side of either half in pixels; larger rasters are thinned out."""


def write_quicklook(
    scene: str | os.PathLike[str],
    cover: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    legend: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Draw a scene in true colour beside its cover with legend, scale bar and north arrow, as PNG.

    Args:
        scene: The scene that was classified.
        cover: The cover that `classify` wrote for it, or another raster of class ids with its geobox.
        output: The PNG file to write.
        settings: Settings that were given to `classify`, of which `bands`, `scale`, `offset` and `level` matter; None
            takes the defaults.
        legend: A cover, model, card, QML or table (id,name,color) with the meaning of the ids of `cover`; None where
            `cover` has it itself.
        overwrite: Whether a file that exists is replaced.

    Raises:
        SceneError: One of the rasters can't be read, or they don't belong together.
        OutputError: The picture exists, is one of the files that are read or no PNG, or matplotlib is not installed.
    """
    output = Path(output)
    check_quicklook(output)
    settings = settings or Settings()
    check_outputs([output], scene, cover, legend, *settings.files, overwrite=overwrite)
    shown = open_scene(scene, settings)
    with new_file(output, overwrite=overwrite) as file:
        draw_quicklook(shown, Path(cover), file, Path(cover).name, legend)


def check_quicklook(output: Path) -> None:
    """Refuse what can't be drawn, before any work.

    Raises:
        OutputError: The name does not end in .png, or matplotlib is not installed.
    """
    if output.suffix.lower() != ".png":
        raise OutputError(f"{output}: expected a file name that ends in .png")
    if find_spec("matplotlib") is None:
        raise OutputError("Pictures need matplotlib: pip install 'landmap[plot]'")


def draw_quicklook(
    scene: Scene, cover: Path, output: Path, title: str, legend_file: str | os.PathLike[str] | None = None
) -> None:
    """Draw a scene beside its cover into a file, which the caller publishes.

    Args:
        scene: The scene that was classified.
        cover: Its cover; the file may have a temporary name.
        output: The PNG file to write.
        title: Name of the cover in the picture.
        legend_file: File with the meaning of the cover's ids; None where the cover has it itself.

    Raises:
        SceneError: One of the rasters can't be read, or they don't belong together.
        OSError: The picture can't be written.
    """
    from matplotlib.figure import Figure

    check_cover(scene, cover)
    legend, classes = read_cover(cover, legend_file).legend, thinned_classes(cover, MAX_SIDE)
    check_ids(str(cover), legend, np.bincount(classes.ravel(), minlength=256))
    shown = composite(scene, MAX_SIDE)
    height, width = classes.shape
    figure = Figure(figsize=(12, 12 * height / width / 2 + 0.9), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    left.imshow(shown.picture, interpolation="none")
    left.set_title(_escaped(f"{name_of(scene.source.path)}, {shown.name}"), fontsize=10)
    right.imshow(_colors(legend)[classes], interpolation="none")
    right.set_title(_escaped(title), fontsize=10)
    _draw_legend(figure, legend, classes)
    _draw_scale_bar(right, scene, width)
    _draw_north(right, scene)
    for axes in (left, right):
        axes.set_axis_off()
    figure.savefig(output, format="png")


def _escaped(text: str) -> str:
    """Escape a text, so that matplotlib reads no formula in it."""
    return text.replace("$", r"\$")


def _colors(legend: Sequence[LandClass]) -> Bytes:
    """Return red, green, blue and opacity by class id, `(256, 4)`."""
    colors = np.zeros((256, 4), np.uint8)
    for c in legend:
        colors[c.id] = *c.rgb, 255
    return colors


def _draw_legend(figure: Any, legend: Sequence[LandClass], classes: Bytes) -> None:
    from matplotlib.patches import Patch

    counts = np.bincount(classes.ravel(), minlength=256)
    valid = max(1, counts[:NODATA].sum())
    present = sorted((c for c in legend if counts[c.id]), key=lambda c: -counts[c.id])
    labels = [Patch(color=c.color, label=_escaped(f"{c.name} {100 * counts[c.id] / valid:.0f} %")) for c in present]
    figure.legend(handles=labels, loc="outside lower center", ncols=5, fontsize=9, frameon=False)


def _draw_scale_bar(axes: Any, scene: Scene, width: int) -> None:
    """Draw a bar in the lower left corner, of at most a third of the picture; none where the scene has no place."""
    from matplotlib.offsetbox import AnchoredOffsetbox, AuxTransformBox, TextArea, VPacker
    from matplotlib.patches import Rectangle

    if (metres := metres_per_pixel(scene)) is None:
        return
    bar = scale_bar(metres * scene.geobox.width / width, width / 3)
    line = AuxTransformBox(axes.transData)
    line.add_artist(Rectangle((0, 0), bar.pixels, 0, linewidth=2.5, edgecolor="black"))
    both = VPacker(children=[TextArea(bar.label, textprops={"size": 9}), line], align="center", pad=0, sep=3)
    box = AnchoredOffsetbox("lower left", child=both, pad=0.4, borderpad=0.5)
    box.patch.set(alpha=0.8, linewidth=0)
    axes.add_artist(box)


def _draw_north(axes: Any, scene: Scene) -> None:
    """Draw an arrow in the upper right corner; none where the scene has no north."""
    if (step := north(scene.geobox)) is None:
        return
    right, down = step
    place = axes.inset_axes((0.87, 0.87, 0.12, 0.12), xlim=(-1, 1), ylim=(-1, 1), aspect="equal", anchor="NE")
    place.patch.set_alpha(0.8)
    place.set(xticks=[], yticks=[])
    place.spines[:].set_visible(False)
    # In the inset's coordinates up is positive; in the scene's, down is.
    place.annotate(
        "N",
        (0.85 * right, -0.85 * down),
        (-0.45 * right, 0.45 * down),
        ha="center",
        va="center",
        weight="bold",
        arrowprops={"arrowstyle": "-|>", "facecolor": "black", "linewidth": 1.5},
    )
