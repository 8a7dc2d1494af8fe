"""The command `landmap batch`: it classifies many scenes, and prints the state of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from landmap.cli.help import QUIET, Command, Group, option_in, with_options
from landmap.cli.maps import SHAPE_OPTIONS, ZONE_OPTIONS
from landmap.cli.messages import log_to, print_warnings, quieten
from landmap.cli.scene_options import CLUSTER_OPTIONS, SETTINGS_OPTIONS, settings_of
from landmap.cli.types import FILE_OR_NAME, PATH
from landmap.errors import BatchError

if TYPE_CHECKING:
    from landmap.batch.ledger import Record
    from landmap.maps.tags import Rule


_output, _polygons, _table = (option_in(section) for section in ("Outputs", "Polygons", "Table of areas"))
OUTPUT_OPTIONS = (
    _output("-o", "--output", required=True, type=PATH, help="Write maps, catalogue and reports to this folder."),
    _output("--confidence", is_flag=True, help="Also write the confidence in each pixel's class in percent."),
    _output("--report", is_flag=True, help="Also write a page about each map, that shows how it was made (HTML)."),
    _output("--quicklook", is_flag=True, help="Also draw each scene beside its map (PNG)."),
    _polygons(
        "--vector", type=click.Choice(["gpkg", "geojson", "parquet"]), help="Also write each map's polygons, as this."
    ),
    *SHAPE_OPTIONS,
    _table(
        "--summary",
        type=click.Choice(["csv", "json", "parquet"]),
        help="Also write a table of each map's areas, as this.",
    ),
    *ZONE_OPTIONS,
)


def extras_of(options: dict[str, Any]) -> Any:
    """The `Extras` that `OUTPUT_OPTIONS` ask for; they are taken out of `options`."""
    from landmap.batch.tasks import Extras
    from landmap.maps.vectorize import VectorSettings

    settings = VectorSettings(options.pop("min_area"), options.pop("simplify"))
    names = "vector", "summary", "zones", "zone_id", "zone_layer", "report", "quicklook"
    return Extras(vector_settings=settings, **{name: options.pop(name) for name in names})


class BatchGroup(Group):
    """A group whose default command is `run`, so that `landmap batch scenes/ -o maps/` works."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put `run` before arguments that begin with no command."""
        if args and args[0] not in self.commands and args[0] not in context.help_option_names:
            args = ["run", *args]
        return super().parse_args(context, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands, or else files, which are arguments of `run`."""
        return super().shell_complete(ctx, incomplete) or [CompletionItem(incomplete, type="file")]


@click.group(cls=BatchGroup, context_settings={"help_option_names": ["-h", "--help"]})
def batch() -> None:
    """Classify many scenes into one folder.

    `landmap batch JOBS… -o DIR` is short for `landmap batch run JOBS… -o DIR`.
    """


@batch.command(
    cls=Command,
    example="landmap batch scenes/ -o maps/\nlandmap batch run jobs.csv -o maps/ --retry-failed --workers 2",
)
@click.argument("jobs", type=FILE_OR_NAME, nargs=-1, required=True)
@with_options(OUTPUT_OPTIONS)
@click.option(
    "--max-cloud",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Skip scenes of more cloud, by the classification that each has or that --clouds or --scl names.",
)
@click.option("--retry-failed", is_flag=True, help="Classify scenes again that failed in an earlier run.")
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Classify scenes that fail up to so many times again, after all others.",
)
@click.option(
    "--retry-after",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long before scenes that failed are classified again.",
)
@click.option(
    "--notify", metavar="URL", help="Post a JSON object to this address at the end, and when scenes fail for good."
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Classify scenes again that were mapped otherwise or have changed, and replace files that exist.",
)
@click.option(
    "--mosaic",
    type=PATH,
    help="Also write the maps as one (GeoTIFF), as `landmap mosaic` does: with --confidence the surest decides, else "
    "the first.",
)
@click.option("--asset", metavar="KEY", help="Take all bands of a STAC Item from the asset of this name.")
@click.option("--log-file", type=PATH, help="Also add a line for each scene, warnings and errors to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print all that is known of each scene at the end, as JSON.")
@QUIET
@with_options(SETTINGS_OPTIONS, CLUSTER_OPTIONS)
def run(
    jobs: tuple[str, ...],
    output: Path,
    mosaic: Path | None,
    asset: str | None,
    log_file: Path | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Classify all scenes that JOBS name, each once; given again, it does what is left.

    JOBS are folders, globs, scenes (whatever classify takes), or lists: CSV with the columns
    scene,output,options,datetime, JSON lines with these keys, or a STAC ItemCollection (JSON). `options` is a JSON
    object such as {"stride": 16}; paths in a list are relative to it. Files in a folder that are no scenes are
    reported. Several runs may share the work. Exit status 0 means that every scene is done, or was skipped for its
    clouds.
    """
    from landmap.batch.jobs import find_jobs
    from landmap.batch.ledger import DONE
    from landmap.batch.report import summarise
    from landmap.batch.run import run_batch
    from landmap.cli.show import out, progress_bar
    from landmap.maps.mosaic import check_mosaic
    from landmap.maps.mosaic import mosaic as draw

    if quiet:
        quieten()
    if mosaic:
        check_mosaic(mosaic, overwrite=options["overwrite"])
    settings, extras, found_jobs = settings_of(options), extras_of(options), find_jobs(jobs, asset)
    with log_to(log_file), progress_bar("classifying", "scenes", quiet=quiet) as progress:
        found = run_batch(found_jobs, output, settings, extras=extras, **options, progress=progress)
    silent = quiet or as_json
    if as_json:
        click.echo(json.dumps(summarise(found.records, found_jobs.skipped), indent=2))
    elif not quiet:
        for path in found.files:
            out.print(str(path), markup=False)
    done = [output / record.output for record in found.records if record.state == DONE]
    if mosaic and done:
        by: Rule = "confidence" if options["confidence"] else "first"
        with progress_bar("drawing", "blocks", quiet=quiet) as progress:
            drawn = draw(done, mosaic, by=by, overwrite=options["overwrite"], progress=progress)
        print_warnings(drawn.warnings)
        if not silent:
            out.print(str(drawn), markup=False)
    _end(found.records, quiet=silent)


@batch.command(cls=Command, example="landmap batch status maps/")
@click.argument("folder", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print all that is known of each scene, as JSON.")
@click.option("--watch", is_flag=True, help="Show a bar for as long as a run is at work, then the status.")
def status(folder: Path, as_json: bool, watch: bool) -> None:
    """Print which scenes of the batch in FOLDER are not done, and why: up to 20 of each state, and how many there are.

    Exit status 0 means that nothing is wrong: every scene is done or was skipped for its clouds, or a run is at work
    and none has failed.
    """
    from landmap.batch.ledger import RUNNING, WAITING, Ledger
    from landmap.batch.report import summarise
    from landmap.batch.run import batch_counts, batch_status
    from landmap.cli.show import progress_bar

    if watch:
        with progress_bar("classifying", "scenes", quiet=False) as progress:
            for counts in batch_counts(folder):
                total = sum(counts.values())
                progress(total - counts.get(WAITING, 0) - counts.get(RUNNING, 0), total)
    records = batch_status(folder)
    with Ledger(folder) as ledger:
        at_work = ledger.is_at_work()
    if as_json:
        click.echo(json.dumps(summarise(records, at_work=at_work), indent=2))
    else:
        _list(records)
    _end(records, quiet=as_json, at_work=at_work)


def _list(records: Sequence[Record]) -> None:
    """Print the scenes that are not done, up to `LISTED` of each state."""
    from landmap.batch.ledger import DONE
    from landmap.batch.run import LISTED
    from landmap.cli.show import out

    printed = Counter[str]()
    for record in records:
        printed[record.state] += 1
        if record.state != DONE and printed[record.state] <= LISTED:
            out.print(f"{record.state:9} {_line_of(record)}", markup=False)
    for state, number in printed.items():
        if state != DONE and number > LISTED:
            out.print(f"{state:9} {number - LISTED} more, which --json and the report list", markup=False)


def _line_of(record: Record) -> str:
    if record.error:
        return record.error if record.scene in record.error else f"{record.scene}: {record.error}"
    return f"{record.scene} by {record.runner}" if record.runner else record.scene


def _end(records: Sequence[Record], *, quiet: bool, at_work: bool = False) -> None:
    """Print how many scenes are done; fail if some are not, unless a run is at work on them and nothing is wrong."""
    from landmap.batch.ledger import CLOUDY, DONE, FAILED, OUTDATED
    from landmap.batch.report import ORDER, seconds_left, time_words
    from landmap.cli.show import out

    counts = Counter(record.state for record in records)
    others = [f"{counts[state]} {state}" for state in ORDER if counts[state] and state != DONE]
    if counts[DONE] + counts[CLOUDY] < len(records):
        text = f"{counts[DONE]} of {len(records)} scenes are done: {', '.join(others)}"
        if not at_work or counts[FAILED] or counts[OUTDATED]:
            raise BatchError(text)
        left = seconds_left(records)
        if not quiet:
            out.print(text + ("" if left is None else f"; about {time_words(left)} left"), markup=False)
    elif not quiet:
        warned = sum(bool(record.result.get("warnings")) for record in records)
        skipped = f"; {counts[CLOUDY]} were skipped for their clouds" if counts[CLOUDY] else ""
        out.print(f"{counts[DONE]} scenes are done{skipped}; of {warned} the report has warnings", markup=False)


COMMANDS = (batch,)
