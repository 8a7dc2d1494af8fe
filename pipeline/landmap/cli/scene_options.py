"""The options of commands that read a scene: those of `Settings`, and where chunks are executed.

An option of `classify` that decides the map is a field in `settings.py`, and an entry here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from landmap.cli.help import option_in
from landmap.cli.types import FILE_OR_NAME, FourType, MemoryType, NumberOr
from landmap.crosswalk import PRODUCTS
from landmap.settings import CLOUDS, DETAILS, ENGINES, MASKED_CLASSES, PRECISIONS, SCALE_NAMES, STRIDES, Settings

D = Settings()
"""The defaults of the options."""

_reading, _area, _computing = (option_in(section) for section in ("Reading the scene", "Area", "Computing"))

READING_OPTIONS = (
    _reading(
        "--model",
        type=FILE_OR_NAME,
        default=D.model,
        show_default=True,
        metavar="MODEL",
        help="Classify by this model: the name of a packaged one, or a .keras file.",
    ),
    _reading(
        "--bands",
        help='Say which bands of the file the model\'s are: "3,2,1" in the model\'s order, or "B04=3,B03=2,B02=1". Or '
        'name the file\'s bands in its order: "B02,B03,B04,B08".  [default: found by name]',
    ),
    _reading(
        "--nir/--no-nir",
        "use_nir",
        default=D.use_nir,
        show_default=True,
        help="Use near infrared (B08) if the scene has it and the model has a prior for it.",
    ),
    _reading(
        "--scale",
        type=NumberOr(*SCALE_NAMES),
        default=D.scale,
        show_default=True,
        help="Say what the file's values are: DN (10,000 times the reflectance), reflectance, 8-bit values over the "
        "model's range, or the reflectance of one unit.",
    ),
    _reading(
        "--offset",
        type=NumberOr("auto"),
        default=D.offset,
        show_default=True,
        help="Add this number to the file's values before they are scaled, such as -1000 for DN since baseline 04.00.",
    ),
    _reading(
        "--level",
        type=click.Choice(["auto", "L1C", "L2A"]),
        default=D.level,
        show_default=True,
        help="Say which product level the scene has.",
    ),
)
AREA_OPTIONS = (
    _area(
        "--clouds",
        type=click.Choice(CLOUDS),
        default=D.clouds,
        show_default=True,
        help="auto leaves clouds out by the product's own classification, if it has one; none maps them; s2cloudless "
        "finds them in an L1C scene.",
    ),
    _area("--scl", metavar="FILE|auto", help="Leave pixels out by this scene classification (SCL or MSK_CLASSI)."),
    _area(
        "--mask-classes",
        metavar="A,B,…",
        help=f"Leave these classes of the scene classification out.  [default: {','.join(MASKED_CLASSES)}]",
    ),
    _area("--mask", metavar="FILE", help="Leave pixels out where this raster is 0 or has no data."),
    _area("--mask-values", metavar="V,V,…", help="Leave pixels out where --mask has these values instead of 0."),
    _area("--invert-mask", is_flag=True, help="Leave pixels out where --mask would keep them, and keep the others."),
    _area("--aoi", metavar="FILE", help="Map only what lies inside the polygons of this vector file."),
    _area("--aoi-layer", metavar="NAME", help="Take the polygons of --aoi from this layer, if there are several."),
    _area("--window", type=FourType(int, "COL,ROW,WIDTH,HEIGHT"), help="Map only this rectangle, given in pixels."),
    _area("--bbox", type=FourType(float, "W,S,E,N"), help="Map only this rectangle, given in coordinates."),
    _area("--bbox-crs", metavar="CRS", help="The CRS of --bbox, such as EPSG:4326.  [default: the scene's]"),
    _area(
        "--warp",
        type=click.Choice(["auto"]),
        help="Bring a scene in degrees, in Web Mercator or with other pixels to UTM and the model's pixel size.",
    ),
)
COMPUTE_OPTIONS = (
    _computing(
        "--detail",
        type=click.Choice(DETAILS),
        default=D.detail,
        show_default=True,
        help="Give a class to each pixel, or one by its surroundings to each cell of --stride pixels (chip). auto is "
        "pixel if the model can, and neither --stride nor --smooth is given.",
    ),
    _computing(
        "--stride",
        type=click.Choice([str(stride) for stride in STRIDES]),
        callback=lambda context, parameter, value: value and int(value),
        help="Predict a window every so many pixels: a smaller number gives a finer map.  [default: the finest that "
        "takes little time]",
    ),
    _computing("--smooth", is_flag=True, help="Round the borders: interpolate probabilities between cells."),
    _computing(
        "--unknown-below",
        type=click.IntRange(1, 100),
        metavar="P",
        help="Call a pixel Unknown where the confidence is below so many percent.",
    ),
    _computing(
        "--sieve",
        type=click.IntRange(1),
        metavar="N",
        help="Merge regions of fewer than N pixels into their largest neighbour.",
    ),
    _computing(
        "--legend",
        type=click.Choice(list(PRODUCTS)),
        help="Recode the classes to the legend of this product: codes, names and colors.  [default: the model's own]",
    ),
    _computing(
        "--precision",
        type=click.Choice(PRECISIONS),
        default=D.precision,
        show_default=True,
        help="Compute in this number format; auto takes the fastest that changes hardly any class.",
    ),
    _computing(
        "--device",
        default=D.device,
        show_default=True,
        metavar="DEVICE",
        help="Compute on this device: cpu, gpu:N, or auto for the first GPU and else the processor.",
    ),
    _computing(
        "--engine",
        type=click.Choice(ENGINES),
        default=D.engine,
        show_default=True,
        help="Let this library compute; auto takes OpenVINO for small scenes, if it is installed (landmap[openvino]), "
        "as it starts in a tenth of the time.",
    ),
    _computing(
        "--memory",
        type=MemoryType(),
        default="2GB",
        show_default=True,
        help="Let the process use about so much memory; it needs at least 1.2GB.",
    ),
    _computing(
        "--chunk",
        type=click.IntRange(1),
        metavar="PIXELS",
        help="Predict the scene in chunks of this height and width, which changes memory and never the map.  "
        "[default: by --memory]",
    ),
    _computing(
        "--batch-size",
        type=click.IntRange(1),
        default=D.batch_size,
        show_default=True,
        help="Predict so many chips at once, if the model predicts chip by chip.",
    ),
    _computing(
        "--threads",
        type=click.IntRange(1),
        default=D.threads,
        show_default=True,
        help="Keep so many chunks in work at the same time, each in a thread.",
    ),
    _computing(
        "--force",
        is_flag=True,
        help="Go on without georeference, with another pixel size than the model's, or with other versions on workers.",
    ),
)
SETTINGS_OPTIONS = (*READING_OPTIONS, *AREA_OPTIONS, *COMPUTE_OPTIONS)
"""An option for each field of `Settings`."""
CLUSTER_OPTIONS = (
    _computing("--scheduler", metavar="ADDRESS|FILE", help="Compute on the Dask cluster of this scheduler."),
    _computing("--workers", type=click.IntRange(1), help="Compute in so many processes on this machine."),
)


def settings_of(options: dict[str, Any]) -> Settings:
    """The `Settings` that options of `SETTINGS_OPTIONS` ask for; they are taken out of `options`."""
    names = [field.name for field in dataclasses.fields(Settings) if field.name in options]
    return Settings(**{name: options.pop(name) for name in names})
