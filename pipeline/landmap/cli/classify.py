"""The commands about a scene: classify it, show the plan or a picture, write an example, measure the speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from landmap.cli.help import OVERWRITE, QUIET, Command, option_in, with_options
from landmap.cli.maps import DERIVED_OPTIONS, LEGEND, derived_of
from landmap.cli.messages import print_warnings, quieten
from landmap.cli.scene_options import AREA_OPTIONS, CLUSTER_OPTIONS, READING_OPTIONS, SETTINGS_OPTIONS, settings_of
from landmap.cli.types import FILE_OR_NAME, PATH
from landmap.errors import warnings_only_collected
from landmap_models.inference.session import load_in_background

SCENE = click.argument("scene", type=FILE_OR_NAME)
_output = option_in("Outputs")
OUTPUT_OPTIONS = (
    _output("-o", "--output", required=True, type=PATH, help="Write the land-cover map to this GeoTIFF."),
    _output("--confidence", type=PATH, help="Also write the confidence in each pixel's class in percent (GeoTIFF)."),
    _output(
        "--probabilities",
        type=PATH,
        help="Also write the probability of every class in percent, one band a class (GeoTIFF).",
    ),
    *DERIVED_OPTIONS,
    _output("--report", type=PATH, help="Also write a page that shows the map and how it was made (HTML)."),
    _output("--quicklook", type=PATH, help="Also draw the scene beside its map (PNG)."),
    _output("--overwrite", is_flag=True, help="Replace outputs that exist."),
    _output(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Reuse the finished chunks of a run for this output that was cut short.",
    ),
)


@click.command(
    cls=Command,
    example="landmap classify S2A_MSIL1C_20250601.SAFE -o cover.tif --confidence confidence.tif\n"
    "landmap classify scene.tif -o cover.tif --bands B02,B03,B04,B08 --level L2A --aoi district.gpkg",
)
@SCENE
@with_options(OUTPUT_OPTIONS, SETTINGS_OPTIONS, CLUSTER_OPTIONS)
@QUIET
@click.option("-v", "--verbose", is_flag=True, help="Print the plan, and GDAL's own messages.")
def classify(scene: str, output: Path, quiet: bool, verbose: bool, **options: Any) -> None:
    """Classify SCENE into a land-cover map.

    SCENE is a raster, a .SAFE product or its zip, a folder of bands, or a STAC Item.
    """
    if not (options["scheduler"] or options["workers"]):
        load_in_background()  # meanwhile the scene is planned
    from landmap.cli.show import print_plan, print_result, progress_bar, show_gdal_messages
    from landmap.run.classify import classify as run

    if quiet:
        quieten()
    if verbose:
        show_gdal_messages()
    settings, derived = settings_of(options), derived_of(options)
    on_plan = print_plan if verbose else None
    with progress_bar("classifying", "Mpx", 1e6, quiet=quiet) as progress:
        result = run(scene, output, settings, derived=derived, progress=progress, on_plan=on_plan, **options)
    if not quiet:
        print_result(result)


@click.command(cls=Command, example="landmap plan scene.tif")
@SCENE
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@with_options(SETTINGS_OPTIONS)
def plan(scene: str, as_json: bool, **options: Any) -> None:
    """Print what `classify` would do to SCENE.

    The plan names the bands, level, offset, masks, windows and chunks, and where each decision comes from. Only headers
    and a small sample of pixels are read.
    """
    from landmap.cli.show import print_plan
    from landmap.inference.plan import make_plan

    with warnings_only_collected():  # they come after the plan
        made = make_plan(scene, settings_of(options))
    if as_json:
        click.echo(json.dumps(made.to_dict(), indent=2))
        return
    print_plan(made)
    print_warnings(made.warnings)


@click.command(cls=Command, example="landmap example scene.tif --size 1000")
@click.argument("path", type=PATH)
@click.option(
    "--size",
    type=click.IntRange(64),
    default=2000,
    show_default=True,
    help="Height and width of the scene in pixels of 10 m.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draw another landscape for another number.")
@OVERWRITE
def example(path: Path, size: int, seed: int, overwrite: bool) -> None:
    """Write an invented scene like Sentinel-2's to PATH, and its true classes beside it."""
    from landmap.demo.example import write_example

    files = write_example(path, size, seed, overwrite=overwrite)
    click.echo(f"{files.scene}\n{files.truth}")


@click.command(cls=Command, example="landmap quicklook scene.tif cover.tif -o picture.png")
@SCENE
@click.argument("cover", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="Write the picture to this file (PNG).")
@LEGEND
@OVERWRITE
@with_options(READING_OPTIONS, AREA_OPTIONS)
def quicklook(scene: str, cover: Path, output: Path, legend: Path | None, **options: Any) -> None:
    """Draw SCENE in true colour beside its COVER, with a legend.

    Give the options that say how the scene is read and which part of it is mapped as they were given to `classify`.
    """
    from landmap.report.quicklook import write_quicklook

    write_quicklook(scene, cover, output, settings_of(options), legend=legend, **options)
    click.echo(str(output))


@click.command(cls=Command, example="landmap bench --size 5490")
@click.argument("scene", type=FILE_OR_NAME, required=False)
@click.option(
    "--size",
    type=click.IntRange(64),
    default=10980,
    show_default=True,
    help="Height and width in pixels of the scene that is made where SCENE is not given.",
)
@click.option("--json", "output", type=PATH, help="Also write the numbers to this file (JSON).")
@click.option("--keep", type=PATH, help="Keep cover.tif, and scene.tif if it was made, in this folder.")
@OVERWRITE
@with_options(SETTINGS_OPTIONS)
def bench(scene: str | None, output: Path | None, overwrite: bool, **options: Any) -> None:
    """Measure where the time of classifying SCENE goes.

    Without SCENE a synthetic one is measured, by default of the size of a Sentinel-2 product.
    """
    from landmap.bench.run import bench as measure
    from landmap.cli.show import print_bench, progress_bar
    from landmap.io.publish import TEXTS, check_ending
    from landmap.products.files import check_outputs

    settings = settings_of(options)
    if output:
        check_ending(output, TEXTS, "JSON file")
        check_outputs([output], scene, *settings.files, overwrite=overwrite)
    with progress_bar("measuring", "steps", quiet=False) as progress:
        found = measure(scene, settings, overwrite=overwrite, progress=progress, **options)
    if output:
        output.write_text(json.dumps(found.to_dict(), indent=2) + "\n", "utf-8")
    print_bench(found)


COMMANDS = (classify, plan, quicklook, example, bench)
