"""The commands that use a finished map, and what of them `classify` can do in the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from landmap.cli.help import OVERWRITE, QUIET, Command, option_in, with_options
from landmap.cli.messages import print_warnings
from landmap.cli.scene_options import AREA_OPTIONS, READING_OPTIONS, settings_of
from landmap.cli.types import FILE_OR_NAME, PATH, ShareByName
from landmap.crosswalk import PRODUCTS
from landmap.maps.tags import RULES

COVER = click.argument("cover", type=PATH)
CONFIDENCE = click.option(
    "--confidence", type=PATH, help="Take mean confidences from this raster, which `classify --confidence` wrote."
)
LEGEND = click.option(
    "--legend",
    type=PATH,
    help=f"Take names and colors of class ids from this cover, model, card, QML or CSV file, or from a product: "
    f"{', '.join(PRODUCTS)}.  [default: the map's own]",
)
_output, _polygons, _table = (option_in(section) for section in ("Outputs", "Polygons", "Table of areas"))
SHAPE_OPTIONS = (
    _polygons(
        "--min-area",
        type=float,
        default=0.0,
        metavar="HA",
        help="Merge polygons of fewer hectares into a neighbour.",
    ),
    _polygons(
        "--simplify",
        type=float,
        default=0.0,
        metavar="METRES",
        help="Straighten borders by up to so many metres; neighbours keep their common border.",
    ),
)
VECTOR_OPTIONS = (
    *SHAPE_OPTIONS,
    _polygons(
        "--cells",
        is_flag=True,
        help="Also write a layer of cells with the probabilities of all classes; this needs a GeoPackage and "
        "--probabilities.",
    ),
)
ZONE_OPTIONS = (
    _table("--zones", type=PATH, help="Make the table for each polygon of this vector file."),
    _table("--zone-id", metavar="COLUMN", help="Name the zones by this column of their file."),
    _table("--zone-layer", metavar="NAME", help="Take the zones from this layer, if their file has several."),
)
DERIVED_OPTIONS = (
    _polygons("--vector", type=PATH, help="Also write the map's polygons (.gpkg, .geojson or .parquet)."),
    *VECTOR_OPTIONS,
    _table("--summary", type=PATH, help="Also write a table of the classes' areas (.csv, .json or .parquet)."),
    *ZONE_OPTIONS,
)
"""The options of `classify` that make polygons and tables."""


def derived_of(options: dict[str, Any]) -> Any:
    """The `Derived` that `DERIVED_OPTIONS` ask for; they are taken out of `options`."""
    from landmap.maps.vectorize import VectorSettings
    from landmap.run.outputs import Derived

    settings = VectorSettings(*(options.pop(name) for name in ("min_area", "simplify", "cells")))
    names = "vector", "summary", "zones", "zone_id", "zone_layer"
    return Derived(vector_settings=settings, **{name: options.pop(name) for name in names})


@click.command(
    cls=Command, example="landmap vectorize cover.tif -o polygons.gpkg --min-area 0.5 --confidence confidence.tif"
)
@COVER
@click.option(
    "-o", "--output", required=True, type=PATH, help="Write the polygons to this file (.gpkg, .geojson or .parquet)."
)
@CONFIDENCE
@LEGEND
@click.option(
    "--probabilities",
    type=PATH,
    help="Take the probabilities of cells from this raster, which `classify --probabilities` wrote.",
)
@with_options(VECTOR_OPTIONS)
@OVERWRITE
def vectorize(cover: Path, output: Path, **options: Any) -> None:
    """Write the polygons of COVER.

    COVER is a map that `classify` wrote, or any raster of class ids.
    """
    from landmap.maps.vectorize import vectorize as run

    count = run(cover, output, **options)
    click.echo(f"{count:,} polygon{'' if count == 1 else 's'}\n{output}")


@click.command(cls=Command, example="landmap summarize cover.tif -o areas.csv --zones districts.gpkg --zone-id name")
@COVER
@click.option(
    "-o", "--output", required=True, type=PATH, help="Write the table to this file (.csv, .json or .parquet)."
)
@CONFIDENCE
@LEGEND
@with_options(ZONE_OPTIONS)
@OVERWRITE
def summarize(cover: Path, output: Path, **options: Any) -> None:
    """Write a table of the area of each class in COVER, or in each of some zones.

    COVER is a map that `classify` wrote, or any raster of class ids.
    """
    from landmap.maps.summarize import summarize as run

    run(cover, output, warn=lambda text: print_warnings([text]), **options)
    click.echo(str(output))


@click.command(
    cls=Command,
    example="landmap design cover.tif -o sample.gpkg --class-accuracy Forest=0.9\nlandmap assess cover.tif sample.gpkg",
)
@COVER
@click.option(
    "-o", "--output", required=True, type=PATH, help="Write the places to this file (.gpkg, .geojson or .parquet)."
)
@click.option(
    "--standard-error",
    type=float,
    default=0.01,
    show_default=True,
    help="Reach this standard error of overall accuracy.",
)
@click.option(
    "--min-per-class", type=int, default=50, show_default=True, help="Draw so many places of each class at least."
)
@click.option(
    "--accuracy", type=float, default=0.8, show_default=True, help="Expect this user's accuracy of each class."
)
@click.option(
    "--class-accuracy",
    "accuracies",
    multiple=True,
    type=ShareByName(),
    help="Expect another user's accuracy of a class; the option may be repeated.",
)
@LEGEND
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Draw another sample for another number."
)
@OVERWRITE
def design(cover: Path, output: Path, accuracies: tuple[tuple[str, float], ...], **options: Any) -> None:
    """Draw a stratified random sample of places on COVER, to assess it.

    Look at each place, fill in its column class, and give the file to assess. The size of the sample follows Olofsson
    et al. (2014).
    """
    from landmap.accuracy.design import design as run
    from landmap.cli.show import print_design

    print_design(run(cover, output, accuracies=dict(accuracies), **options))
    click.echo(str(output))


@click.command(cls=Command, example="landmap suggest cover.tif --confidence confidence.tif -o next.gpkg")
@COVER
@click.option(
    "-o", "--output", required=True, type=PATH, help="Write the squares to this file (.gpkg, .geojson or .parquet)."
)
@click.option("--confidence", type=PATH, help="Find where the map is unsure by this raster of `classify --confidence`.")
@click.option("--probabilities", type=PATH, help="Or by the entropy of this one, of `classify --probabilities`.")
@click.option("-n", "--count", type=int, default=30, show_default=True, help="Suggest so many squares.")
@click.option("--size", type=float, default=50, show_default=True, metavar="METRES", help="Make squares of this side.")
@LEGEND
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Draw other squares for another number."
)
@OVERWRITE
def suggest(cover: Path, output: Path, **options: Any) -> None:
    """Suggest squares of COVER to label next, where its model is unsure.

    Fill in the column class of each square, and give the file to train as further labels.
    """
    from landmap.maps.suggest import suggest as run

    click.echo(f"{run(cover, output, **options):,} squares\n{output}")


@click.command(cls=Command, example="landmap assess cover.tif points.csv -o report.json")
@COVER
@click.argument("reference", type=PATH)
@click.option("-o", "--output", type=PATH, help="Write the report to this file (JSON).")
@click.option("--csv", "table", type=PATH, help="Write a table of the classes to this file (CSV).")
@LEGEND
@click.option(
    "--reference-legend",
    type=PATH,
    help=f"Say that the classes of REFERENCE are those of a product ({', '.join(PRODUCTS)}) or of a file as for "
    "--legend.  [default: the map's, or recognised]",
)
@click.option(
    "--class-column",
    default="class",
    show_default=True,
    help="Take class names or ids from this column of REFERENCE.",
)
@click.option("--layer", metavar="NAME", help="Take this layer of REFERENCE, if the file has several.")
@click.option("--warp", is_flag=True, help="Take the nearest pixels of a REFERENCE raster that is on another grid.")
@click.option(
    "--sample", type=click.IntRange(1), help="Draw so many pixels of each mapped class from a REFERENCE raster."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Draw another sample for another number."
)
@OVERWRITE
def assess(cover: Path, reference: Path, output: Path | None, table: Path | None, **options: Any) -> None:
    """Estimate the accuracy of COVER and the area of each class by REFERENCE, with 95 % intervals.

    REFERENCE is CSV (x,y in the map's CRS, or lon,lat; any separator), GeoPackage, GeoJSON, Shapefile or Parquet of
    points or polygons, or a raster of class ids. Points are taken to be a random sample.
    """
    from landmap.accuracy.assess import assess as run
    from landmap.accuracy.assess import check_assessment_outputs, write_assessment
    from landmap.cli.show import print_assessment

    overwrite = options.pop("overwrite")
    inputs = cover, reference, options["legend"], options["reference_legend"]
    check_assessment_outputs(output, table, *inputs, overwrite=overwrite)
    found = run(cover, reference, **options)
    write_assessment(found, output, table, overwrite=overwrite)
    print_assessment(found)
    print_warnings(found.warnings)
    for path in filter(None, (output, table)):
        click.echo(str(path))


@click.command(
    cls=Command,
    example="landmap mosaic north.tif south.tif -o map.tif\n"
    "landmap mosaic maps/ -o map.tif --by confidence --crs EPSG:3035",
)
@click.argument("covers", type=PATH, nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=PATH, help="Write the map to this file (GeoTIFF).")
@click.option(
    "--by",
    type=click.Choice(RULES),
    default=RULES[0],
    show_default=True,
    help="Where covers overlap, take the first in the order given, the one that is surest in the pixel, or the latest.",
)
@click.option(
    "--confidence",
    type=PATH,
    multiple=True,
    help="Take the confidence of a cover from this raster; once for each, in their order.  [default: "
    "<cover>_confidence.tif]",
)
@click.option("--crs", help="Draw the map in this CRS, such as EPSG:3035.  [default: the covers' most frequent]")
@click.option(
    "--resolution", type=float, help="Draw pixels of this size, in units of the CRS.  [default: the first cover's]"
)
@click.option(
    "--legend",
    type=PATH,
    help=f"Recode all covers into this legend ({', '.join(PRODUCTS)}), or take the meaning of ids from this file.  "
    "[default: the covers' own]",
)
@click.option("--vrt", is_flag=True, help="Write a VRT that names the covers (.vrt) in place of pixels.")
@OVERWRITE
@QUIET
def mosaic(covers: tuple[Path, ...], output: Path, quiet: bool, **options: Any) -> None:
    """Write COVERS of neighbouring scenes, in any UTM zones, as one map.

    COVERS are maps that `classify` wrote, other rasters of class ids, or folders with covers. Each pixel has the class
    of the nearest pixel of one cover; a class goes before Unknown, and Unknown before no data.
    """
    from landmap.cli.show import progress_bar
    from landmap.maps.mosaic import mosaic as run

    with progress_bar("drawing", "blocks", quiet=quiet) as progress:
        found = run(covers, output, **options, progress=progress)
    print_warnings(found.warnings)
    if not quiet:
        click.echo(str(found))


@click.command(
    "compare-maps",
    cls=Command,
    example="landmap compare-maps 2024.tif 2025.tif -o changes.tif\n"
    "landmap compare-maps 2022.tif 2023.tif 2024.tif 2025.tif -o series.tif --min-confidence 60",
)
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.argument("later", type=PATH, nargs=-1)
@click.option("-o", "--output", type=PATH, help="Write a raster of the changes to this file (GeoTIFF).")
@click.option("--json", "report", type=PATH, help="Write the transition matrix to this file (JSON).")
@click.option("--csv", "table", type=PATH, help="Write the transition matrix to this file (CSV).")
@LEGEND
@click.option("--warp", is_flag=True, help="Take the nearest pixels of maps on another grid than BEFORE.")
@click.option(
    "--min-confidence",
    type=click.IntRange(0, 100),
    default=0,
    metavar="PERCENT",
    help="Count only classes that are so sure; two maps are then compared as a series is.",
)
@click.option(
    "--confidence",
    type=PATH,
    multiple=True,
    help="Take the confidence of a map from this raster; once for each, in their order.  [default: "
    "<cover>_confidence.tif]",
)
@OVERWRITE
def compare_maps(before: Path, after: Path, later: tuple[Path, ...], **options: Any) -> None:
    """Compare covers pixel by pixel, and print how many hectares of each class became another.

    More than two, from the earliest to the latest, are a series: when each pixel changed first and last, how often, and
    what stayed.
    """
    percent, confidence = options.pop("min_confidence"), options.pop("confidence")
    if later or percent or confidence:
        _compare_series((before, after, *later), min_confidence=percent, confidence=confidence, **options)
        return
    from landmap.accuracy.change import compare_maps as compare
    from landmap.cli.show import print_change

    found = compare(before, after, **options)
    print_change(found)
    print_warnings(found.warnings)
    if not found.total:
        print_warnings([f"nowhere have both {before} and {after} a class"])
    for name in ("output", "report", "table"):
        if options[name]:
            click.echo(str(options[name]))


def _compare_series(maps: tuple[Path, ...], **options: Any) -> None:
    from landmap.accuracy.series import compare_series
    from landmap.cli.show import print_series

    print_series(compare_series(maps, **options))
    for name in ("output", "report", "table"):
        if options[name]:
            click.echo(str(options[name]))


@click.command(cls=Command, example="landmap report scene.tif cover.tif -o map.html --confidence confidence.tif")
@click.argument("scene", type=FILE_OR_NAME)
@COVER
@click.option("-o", "--output", required=True, type=PATH, help="Write the page to this file (HTML).")
@click.option("--confidence", type=PATH, help="Show this raster, too, which `classify --confidence` wrote.")
@LEGEND
@OVERWRITE
@with_options(READING_OPTIONS, AREA_OPTIONS)
def report(scene: str, cover: Path, output: Path, legend: Path | None, **options: Any) -> None:
    """Write one HTML page about SCENE and its COVER, with map, areas, confidence, and how it was made.

    Give the options that say how the scene is read and which part of it is mapped as they were given to `classify`.
    """
    from landmap.report.page import write_report

    write_report(scene, cover, output, settings_of(options), legend=legend, **options)
    click.echo(str(output))


COMMANDS = (mosaic, vectorize, summarize, design, suggest, assess, compare_maps, report)
