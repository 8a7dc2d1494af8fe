"""Options of the commands that read a scene."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from landmap.settings import CLOUDS, MASKED_CLASSES, PRECISIONS, Settings

FILE_OR_NAME = click.Path(readable=False)
"""A string, passed on as it is typed (it may be a URL, or a model's name); shells complete it as a file."""
MEMORY = re.compile(r"(\d+\.?\d*(?:e\d+)?) ?((?:[kmgt]i?b?|b?))", re.IGNORECASE)
UNITS = {"": 1, "B": 1} | {
    unit: base**power
    for power, letter in enumerate("KMGT", 1)
    for unit, base in ((letter, 1000), (f"{letter}B", 1000), (f"{letter}I", 1024), (f"{letter}IB", 1024))
}
"""Bytes of a unit, in capitals."""


class ScaleType(click.ParamType):  # type: ignore[type-arg] # generic only in the newest click
    """One of the named scales, or a number."""

    name = "auto|dn|reflectance|8bit|NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Keep names, make numbers of the rest."""
        try:
            return value if value in ("auto", "dn", "reflectance", "8bit") else float(value)
        except ValueError:
            self.fail(f"expected {self.name}, not {value!r}", param, context)


class OffsetType(click.ParamType):  # type: ignore[type-arg] # generic only in the newest click
    """`auto`, or a number."""

    name = "auto|NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Keep "auto", make a number of the rest."""
        try:
            return value if value == "auto" else float(value)
        except ValueError:
            self.fail(f"expected {self.name}, not {value!r}", param, context)


class MemoryType(click.ParamType):  # type: ignore[type-arg] # generic only in the newest click
    """A number of bytes, with a unit or without."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Make bytes of "2GB", "1500 MB", "2GiB" or "2e9"."""
        found = MEMORY.fullmatch(str(value).strip())
        bytes_ = float(found[1]) * UNITS[found[2].upper()] if found else 0
        if not 1 <= bytes_ < 2**63:
            self.fail(f"expected bytes, such as 2GB or 1500MB, not {value!r}", param, context)
        return int(bytes_)


class FourType(click.ParamType):  # type: ignore[type-arg] # generic only in the newest click
    """Four numbers with commas between."""

    def __init__(self, number: Callable[[str], float], name: str) -> None:
        self.number, self.name = number, name

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Split and convert."""
        try:
            return tuple(self.number(part) for part in value.split(","))
        except ValueError:
            self.fail(f"expected {self.name}, not {value!r}", param, context)


def scene_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that decide a plan: fields of `Settings`."""
    for option in reversed(
        (
            click.option(
                "--model",
                type=FILE_OR_NAME,
                default="default",
                show_default=True,
                metavar="MODEL",
                help="Packaged model, or a .keras file.",
            ),
            click.option("--bands", help='Band numbers: "3,2,1" in the model\'s order, or "B04=3,B03=2,B02=1".'),
            click.option("--nir/--no-nir", "use_nir", default=True, help="Use B08 where scene and model have it."),
            click.option("--scale", type=ScaleType(), default="auto", help="What a unit of the file means."),
            click.option("--offset", type=OffsetType(), default="auto", help="Added before scaling, in file units."),
            click.option("--level", type=click.Choice(["auto", "L1C", "L2A"]), default="auto", help="Product level."),
            click.option(
                "--clouds",
                type=click.Choice(CLOUDS),
                default="auto",
                show_default=True,
                help="Leave out clouds by the product's own classification, if it has one; map them; or find them.",
            ),
            click.option("--scl", metavar="FILE|auto", help="Leave out pixels by this scene classification."),
            click.option(
                "--mask-classes", metavar="A,B,…", help=f"What is left out.  [default: {','.join(MASKED_CLASSES)}]"
            ),
            click.option("--mask", metavar="FILE", help="Leave out pixels where this raster is 0 or has no data."),
            click.option("--mask-values", metavar="V,V,…", help="Values of --mask that are left out, in place of 0."),
            click.option("--invert-mask", is_flag=True, help="Leave in what --mask leaves out: its 1 is cloud."),
            click.option("--aoi", metavar="FILE", help="Map only what lies inside these polygons (any vector file)."),
            click.option("--aoi-layer", metavar="NAME", help="Layer of the polygons, in a file of several layers."),
            click.option("--window", type=FourType(int, "COL,ROW,WIDTH,HEIGHT"), help="Map only this part, in pixels."),
            click.option("--bbox", type=FourType(float, "W,S,E,N"), help="Map only this part, in the scene's CRS,"),
            click.option("--bbox-crs", metavar="CRS", help="or in this one, such as EPSG:4326."),
            click.option(
                "--warp", type=click.Choice(["auto"]), help="Bring another grid to UTM and the model's pixels."
            ),
            click.option("--stride", type=click.Choice(["64", "32", "16", "8"]), help="Pixels between windows."),
            click.option("--smooth", is_flag=True, help="Interpolate probabilities between cells."),
            click.option(
                "--unknown-below",
                type=click.IntRange(1, 100),
                metavar="P",
                help="Unknown where less sure than P percent.",
            ),
            click.option(
                "--sieve", type=click.IntRange(1), metavar="N", help="Merge regions of under N pixels into a neighbour."
            ),
            click.option("--precision", type=click.Choice(PRECISIONS), default="auto", help="The model computes in."),
            click.option("--device", default="auto", metavar="DEVICE", help="auto, cpu, or gpu:N."),
            click.option(
                "--memory", type=MemoryType(), default="2GB", show_default=True, help="For the process; at least 1.2GB."
            ),
            click.option("--chunk", type=click.IntRange(1), help="Pixels along a chunk: memory, not result."),
            click.option("--batch-size", type=click.IntRange(1), default=256, help="Chips predicted at once."),
            click.option("--threads", type=click.IntRange(1), default=2, help="Chunks in work at once."),
            click.option("--force", is_flag=True, help="Go on in spite of pixel sizes, no CRS, other versions."),
        )
    ):
        command = option(command)
    return command


def cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where chunks are done."""
    for option in reversed(
        (
            click.option("--scheduler", metavar="ADDRESS|FILE", help="Do the work on this Dask cluster."),
            click.option("--workers", type=click.IntRange(1), help="Do the work in so many processes here."),
        )
    ):
        command = option(command)
    return command


def settings_of(options: dict[str, Any]) -> Settings:
    """`Settings` from the options of `scene_options`, which are taken out of `options`."""
    reading = "model", "bands", "use_nir", "scale", "offset", "level"
    masks = "clouds", "scl", "mask_classes", "mask", "mask_values", "invert_mask"
    area = *masks, "aoi", "aoi_layer", "window", "bbox", "bbox_crs", "warp"
    computing = "stride", "smooth", "precision", "device", "memory", "chunk", "batch_size", "threads", "force"
    names = *reading, *area, "unknown_below", "sieve", *computing
    chosen = {name: options.pop(name) for name in names}
    return Settings(**chosen | {"stride": int(chosen["stride"]) if chosen["stride"] else None})
