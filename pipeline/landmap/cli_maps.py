"""The commands about finished maps: judge one by reference data, compare two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from landmap.cli_gis import LEGEND

PATH = click.Path(path_type=Path)
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace files that exist.")


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
    from landmap.assess import assess as judge
    from landmap.assess import check_assessment_outputs, write_assessment
    from landmap.terminal import print_warnings
    from landmap.terminal_maps import print_assessment

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
    from landmap.change import compare_maps as compare
    from landmap.terminal import print_warnings
    from landmap.terminal_maps import print_change

    found = compare(before, after, **options)
    print_change(found)
    if not found.total:
        print_warnings([f"nowhere have both {before} and {after} a class"])
    for name in ("output", "report", "table"):
        if options[name]:
            click.echo(str(options[name]))


COMMANDS = (assess, compare_maps)
