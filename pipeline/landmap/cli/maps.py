"""The commands that make vectors and tables of a cover, and the same as options of `classify`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from landmap.cli.scene_options import FILE_OR_NAME, scene_options, settings_of

COVER = click.argument("cover", type=click.Path(path_type=Path))
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
CONFIDENCE = click.option("--confidence", type=click.Path(path_type=Path), help="Raster that was written beside COVER.")
VECTOR_OPTIONS = (
    click.option("--min-area", type=float, default=0.0, metavar="HA", help="Give smaller polygons to a neighbour."),
    click.option(
        "--simplify", type=float, default=0.0, metavar="METRES", help="Straighten borders, on both sides alike."
    ),
    click.option("--cells", is_flag=True, help="Also a layer of cells with all probabilities (GeoPackage)."),
)
LEGEND = click.option(
    "--legend", type=click.Path(path_type=Path), help="Says what the ids mean: a cover, model, card, QML or CSV."
)
ZONE_OPTIONS = (
    click.option("--zones", type=click.Path(path_type=Path), help="Polygons; the table is made for each of them."),
    click.option("--zone-id", metavar="COLUMN", help="Column of the zones that names them."),
    click.option("--zone-layer", metavar="NAME", help="Layer of the zones, in a file of several layers."),
)
DERIVED_OPTIONS = (
    click.option("--vector", type=click.Path(path_type=Path), help="Also polygons: .gpkg, .geojson or .parquet."),
    *VECTOR_OPTIONS,
    click.option("--summary", type=click.Path(path_type=Path), help="Also a table of areas: .csv, .json or .parquet."),
    *ZONE_OPTIONS,
)


def derived_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of `classify` that make more than rasters."""
    return _with(DERIVED_OPTIONS)(command)


def derived_of(options: dict[str, Any]) -> Any:
    """`Derived` from the options of `derived_options`, which are taken out of `options`."""
    from landmap.maps.vectorize import VectorSettings
    from landmap.run.derived import Derived

    settings = VectorSettings(*(options.pop(name) for name in ("min_area", "simplify", "cells")))
    names = "vector", "summary", "zones", "zone_id", "zone_layer"
    return Derived(vector_settings=settings, **{name: options.pop(name) for name in names})


def _with(options: tuple[Any, ...]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command()
@COVER
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="To write: .gpkg, .geojson or .parquet."
)
@CONFIDENCE
@LEGEND
@click.option("--probabilities", type=click.Path(path_type=Path), help="Raster that was written beside COVER.")
@_with(VECTOR_OPTIONS)
@OVERWRITE
def vectorize(cover: Path, output: Path, **options: Any) -> None:
    """Write the polygons of COVER, a map that `classify` wrote or any raster of class ids."""
    from landmap.maps.vectorize import vectorize as run

    count = run(cover, output, **options)
    click.echo(f"{count:,} polygon{'' if count == 1 else 's'}\n{output}")


@click.command()
@COVER
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="To write: .csv, .json or .parquet."
)
@CONFIDENCE
@LEGEND
@_with(ZONE_OPTIONS)
@OVERWRITE
def summarize(cover: Path, output: Path, **options: Any) -> None:
    """Write how much of each class COVER holds, a map that `classify` wrote; with zones, in each of them."""
    from landmap.cli.show import print_warnings
    from landmap.maps.summarize import summarize as run

    run(cover, output, warn=lambda text: print_warnings([text]), **options)
    click.echo(str(output))


PATH = click.Path(path_type=Path)


@click.command()
@click.argument("cover", type=PATH)
@click.argument("reference", type=PATH)
@click.option("-o", "--output", type=PATH, help="Write the report (JSON).")
@click.option("--csv", "table", type=PATH, help="Write a table of the classes (CSV).")
@LEGEND
@click.option("--class-column", default="class", show_default=True, help="Has class names or ids.")
@click.option("--layer", metavar="NAME", help="Layer of REFERENCE, in a file of several layers.")
@click.option("--warp", is_flag=True, help="Take a raster on another grid from its nearest pixels.")
@click.option("--sample", type=click.IntRange(1), help="Draw so many pixels in each mapped class from a raster.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sample.")
@OVERWRITE
def assess(cover: Path, reference: Path, output: Path | None, table: Path | None, **options: Any) -> None:
    """Judge COVER by REFERENCE: accuracies and areas of the classes, with 95 % intervals.

    REFERENCE is CSV (x,y in the map's CRS, or lon,lat; any separator), GeoPackage, GeoJSON, Shapefile or Parquet of
    points or polygons, or a raster of class ids. Points are taken to be a random sample.
    """
    from landmap.accuracy.assess import assess as judge
    from landmap.accuracy.assess import check_assessment_outputs, write_assessment
    from landmap.cli.show import print_assessment, print_warnings

    overwrite = options.pop("overwrite")
    check_assessment_outputs(output, table, cover, reference, options["legend"], overwrite=overwrite)
    found = judge(cover, reference, **options)
    write_assessment(found, output, table, overwrite=overwrite)
    print_assessment(found)
    print_warnings(found.warnings)
    for path in filter(None, (output, table)):
        click.echo(str(path))


@click.command("compare-maps")
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.option("-o", "--output", type=PATH, help="Write a raster of the changes (GeoTIFF).")
@click.option("--json", "report", type=PATH, help="Write the transition matrix as JSON.")
@click.option("--csv", "table", type=PATH, help="Write it as CSV.")
@LEGEND
@click.option("--warp", is_flag=True, help="Take AFTER from its nearest pixels where its grid is another.")
@OVERWRITE
def compare_maps(before: Path, after: Path, **options: Any) -> None:
    """Compare two covers pixel by pixel: what became of what, in hectares."""
    from landmap.accuracy.change import compare_maps as compare
    from landmap.cli.show import print_change, print_warnings

    found = compare(before, after, **options)
    print_change(found)
    if not found.total:
        print_warnings([f"nowhere have both {before} and {after} a class"])
    for name in ("output", "report", "table"):
        if options[name]:
            click.echo(str(options[name]))


@click.command()
@click.argument("scene", type=FILE_OR_NAME)
@click.argument("cover", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The page to write (HTML).")
@click.option("--confidence", type=click.Path(path_type=Path), help="What classify --confidence wrote.")
@LEGEND
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@scene_options
def report(scene: str, cover: Path, output: Path, **options: Any) -> None:
    """Write one HTML page about SCENE and its COVER: map, areas, confidence, how it was made."""
    from landmap.report.page import write_report

    settings = settings_of(options)
    write_report(scene, cover, output, settings, **options)
    click.echo(str(output))


COMMANDS = (vectorize, summarize, assess, compare_maps, report)
