"""The commands that make vectors and tables of a cover, and the same as options of `classify`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

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
    from landmap.derived import Derived
    from landmap.vector import VectorSettings

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
    from landmap.vector import vectorize as run

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
    from landmap.summarize import summarize as run
    from landmap.terminal import print_warnings

    run(cover, output, warn=lambda text: print_warnings([text]), **options)
    click.echo(str(output))


COMMANDS = (vectorize, summarize)
