"""The command that writes a page about a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from landmap.cli_gis import LEGEND
from landmap.cli_scene import FILE_OR_NAME, scene_options, settings_of


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
    from landmap.report_page import write_report

    settings = settings_of(options)
    write_report(scene, cover, output, settings, **options)
    click.echo(str(output))


COMMANDS = (report,)
