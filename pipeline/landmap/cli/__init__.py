"""The command line: parses, calls the library, prints. Nothing is decided here."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from landmap.cli.batch import COMMANDS as BATCH_COMMANDS
from landmap.cli.maps import COMMANDS as MAP_COMMANDS
from landmap.cli.maps import LEGEND, derived_of, derived_options
from landmap.cli.models import COMMANDS as MODEL_COMMANDS
from landmap.cli.process import leave, start
from landmap.cli.scene_options import FILE_OR_NAME, cluster_options, scene_options, settings_of
from landmap.errors import LandmapError, SettingsError

SCENE = click.argument("scene", type=FILE_OR_NAME)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="landmap", message="landmap %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """Land-cover maps from Sentinel-2 scenes."""


@cli.command()
@SCENE
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The cover to write (GeoTIFF).")
@click.option("--confidence", type=click.Path(path_type=Path), help="Also write the class's probability (percent).")
@click.option("--probabilities", type=click.Path(path_type=Path), help="Also write every class's probability.")
@derived_options
@click.option("--report", type=click.Path(path_type=Path), help="Also write a page about the map (HTML).")
@click.option("--quicklook", type=click.Path(path_type=Path), help="Also draw the scene beside its map (PNG).")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--resume/--no-resume", default=True, help="Go on with a run for this output that was cut short.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print the plan, and GDAL's own messages.")
@cluster_options
@scene_options
def classify(scene: str, output: Path, quiet: bool, verbose: bool, **options: Any) -> None:
    """Classify SCENE into a land-cover map: a raster, a .SAFE product or its zip, a folder of bands, or a STAC Item."""
    from landmap.cli.show import print_news, print_plan, print_result, print_warnings, progress_bar, show_gdal_messages
    from landmap.inference.plan import make_plan
    from landmap.run.classify import run_plan
    from landmap.run.result import Listener, Outputs

    if verbose:
        show_gdal_messages()
    settings = settings_of(options)
    rasters = options["confidence"], options["probabilities"]
    outputs = Outputs(output, *rasters, derived_of(options), options["report"], options["quicklook"])
    outputs.check(scene, settings, overwrite=options["overwrite"])
    plan = make_plan(scene, settings)
    print_warnings(plan.warnings)
    if verbose:
        print_plan(plan)
    with progress_bar("classifying", "Mpx", 1e6, quiet=quiet) as progress:
        result = run_plan(
            plan,
            outputs,
            overwrite=options["overwrite"],
            resume=options["resume"],
            scheduler=options["scheduler"],
            workers=options["workers"],
            listener=Listener(progress, None if quiet else print_news, lambda text: print_warnings([text])),
        )
    if not quiet:
        print_result(result)


@cli.command()
@SCENE
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@scene_options
def plan(scene: str, as_json: bool, **options: Any) -> None:
    """Print what `classify` would do to SCENE: bands, level, offset, windows, chunks."""
    from landmap.cli.show import print_plan, print_warnings
    from landmap.inference.plan import make_plan

    made = make_plan(scene, settings_of(options))
    if as_json:
        click.echo(json.dumps(made.to_dict(), indent=2))
        return
    print_plan(made)
    print_warnings(made.warnings)


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--size", type=click.IntRange(64), default=2000, show_default=True, help="Height and width in pixels.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another land.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def example(path: Path, size: int, seed: int, overwrite: bool) -> None:
    """Write an invented Sentinel-2-like scene to PATH, and its true classes beside it."""
    from landmap.demo.example import write_example

    files = write_example(path, size, seed, overwrite=overwrite)
    click.echo(f"{files.scene}\n{files.truth}")


@cli.command()
@SCENE
@click.argument("cover", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The picture to write (PNG).")
@LEGEND
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@scene_options
def quicklook(scene: str, cover: Path, output: Path, **options: Any) -> None:
    """Draw SCENE in true colour beside its COVER, with a legend."""
    from landmap.report.quicklook import write_quicklook

    settings = settings_of(options)
    write_quicklook(scene, cover, output, settings, **options)
    click.echo(str(output))


@cli.command()
@click.argument("scene", type=FILE_OR_NAME, required=False)
@click.option("--size", type=click.IntRange(64), default=10980, show_default=True, help="Of a scene made for this.")
@click.option("--crop", type=click.IntRange(1), default=512, show_default=True, help="What brute force predicts.")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Also write the numbers to this file.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder to keep cover.tif and a made scene.tif in.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@scene_options
def bench(scene: str | None, output: Path | None, overwrite: bool, **options: Any) -> None:
    """Measure where the time of classifying SCENE goes, or a synthetic one of full size, and try brute force.

    Sizes are heights and widths in pixels.
    """
    from landmap.bench.run import bench as measure
    from landmap.cli.show import err, print_bench
    from landmap.io.publish import TEXTS, check_ending
    from landmap.products.files import check_outputs

    settings = settings_of(options)
    if output:
        check_ending(output, TEXTS, "JSON file")
        check_outputs([output], scene, *settings.files, overwrite=overwrite)
    with err.status("") as status:
        found = measure(scene, settings, overwrite=overwrite, say=status.update, **options)
    if output:
        output.write_text(json.dumps(found.to_dict(), indent=2) + "\n", "utf-8")
    print_bench(found)


for command in (*BATCH_COMMANDS, *MAP_COMMANDS, *MODEL_COMMANDS):
    cli.add_command(command)


def _terminate(number: int, frame: object) -> None:
    """End as after Ctrl-C, so that temporary files are removed; schedulers stop jobs this way."""
    raise KeyboardInterrupt


def _end_on_signals() -> None:
    signal.signal(signal.SIGTERM, _terminate)
    # A closed terminal; under nohup it is ignored and stays so. Windows has none.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminate)


def _fail(error: LandmapError | OSError) -> NoReturn:
    """Say one line, nothing where the reader of our output went away, and exit."""
    if isinstance(error, OSError):
        _drop_output()
    if not isinstance(error, BrokenPipeError):
        click.echo(f"landmap: error: {_words(error)}", err=True)
    sys.exit(2 if isinstance(error, SettingsError) else 1)


def _words(error: LandmapError | OSError) -> str:
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def _drop_output() -> None:
    """Send what stdout still holds nowhere: Python would try to write it once more on exit, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _without_gdal_messages(unraisable: Any) -> None:
    """Leave out messages of GDAL that rasterio can't decode: they quote names as a damaged file has them."""
    if not isinstance(unraisable.exc_value, UnicodeDecodeError):
        sys.__unraisablehook__(unraisable)


def main() -> None:
    """Run the command line.

    Errors that landmap raises on purpose and those of the system become one line and exit status 1, or 2 where a
    setting can't be meant.
    """
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)  # GDAL's words reach the user inside our own errors
    sys.unraisablehook = _without_gdal_messages
    _end_on_signals()
    start()
    arguments = [a for a in sys.argv[1:] if a != "--debug"]  # welcome anywhere in the line
    try:
        cli.main(arguments, prog_name="landmap", standalone_mode=False)
        sys.stdout.flush()  # here, where a full disk can still be told
    except (LandmapError, OSError) as error:
        if "--debug" in sys.argv:
            raise
        _fail(error)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("landmap: interrupted", err=True)
        sys.exit(130)
    leave(0)
