"""The files of a run: what is asked for, what is refused before any work, and how each is written."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from landmap.errors import SettingsError, ZoneError, issue_warnings
from landmap.inference.plan import Plan
from landmap.inference.plan_text import legend_text
from landmap.io.cog import Layers, RasterWriter, check_raster
from landmap.io.publish import Staged, staging, write_errors
from landmap.io.qgis import percent_style
from landmap.io.remote import name_of
from landmap.io.tables import check_table
from landmap.io.vectors import format_of
from landmap.maps.cover import read_cover
from landmap.maps.summarize import check_summary, stage_summary
from landmap.maps.tags import CELL_TAG, LAYER_TAG, LEGEND_TAG, RECODED_TAG, STRIDE_TAG, legend_tag
from landmap.maps.vectorize import VectorSettings, check_vector, stage_vector
from landmap.maps.zones import Zones
from landmap.products.files import check_outputs
from landmap.report.page import Map, check_report, render
from landmap.report.quicklook import check_quicklook, draw_quicklook
from landmap.settings import FILE_SETTINGS, NEUTRAL_SETTINGS, Settings

LOG = logging.getLogger("landmap")


@dataclass(frozen=True, slots=True)
class Derived:
    """Polygons and a table that are made of a finished cover in the same run; None of a file: it is not made."""

    vector: Path | None = None
    """File for the polygons of each class: GeoPackage, GeoJSON or GeoParquet."""
    vector_settings: VectorSettings = field(default_factory=VectorSettings)
    """How the polygons are made."""
    summary: Path | None = None
    """File for a table of the classes' areas: CSV, JSON or Parquet."""
    zones: Path | None = None
    """Vector file with polygons, for each of which the table is made; None: it is made for the whole map."""
    zone_id: str | None = None
    """Column of the zones' file that names them; None only without zones."""
    zone_layer: str | None = None
    """Layer of the zones in their file; None: the only layer of polygons."""

    def __post_init__(self) -> None:
        if self.vector is None and self.vector_settings != VectorSettings():
            raise SettingsError("min-area, simplify and cells say how to draw polygons: expected --vector FILE, too")
        if self.summary is None and (self.zones or self.zone_id or self.zone_layer):
            raise SettingsError("zones share out a table: expected --summary FILE, too")

    def paths(self) -> list[Path]:
        """The files that will be written."""
        return [path for path in (self.vector, self.summary) if path is not None]

    @property
    def inputs(self) -> list[Path]:
        """The files that are read for these outputs besides the run's rasters."""
        return [] if self.zones is None else [self.zones]

    def check_names(self) -> None:
        """Refuse names whose ending is that of no format which can be written.

        Raises:
            OutputError: A name has another ending; the message says which are possible.
        """
        if self.vector:
            format_of(self.vector)
        if self.summary:
            check_table(self.summary)

    def check(self, *, with_probabilities: bool, placed: bool) -> Zones | None:
        """Refuse what can't be done, before any work, and read the zones.

        Args:
            with_probabilities: Whether the run writes a raster of all probabilities.
            placed: Whether the scene has a CRS and a geotransform.

        Returns:
            The zones; None if none are asked for.

        Raises:
            LandmapError: See `landmap.errors`.
        """
        if self.vector:
            check_vector(self.vector, self.vector_settings, with_probabilities=with_probabilities, placed=placed)
        if self.zones and not placed:
            raise ZoneError(f"{self.zones}: zones need a scene with a place on the ground (CRS and geotransform)")
        return check_summary(self.summary, self.zones, self.zone_id, self.zone_layer) if self.summary else None


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that a run writes; None of a file: it is not written.

    Raises:
        OutputError: A report or quicklook has another ending than it needs, or a library for it is missing.
    """

    cover: Path
    """File for the class ids (GeoTIFF)."""
    confidence: Path | None = None
    """File for the probability of each pixel's class in percent (GeoTIFF)."""
    probabilities: Path | None = None
    """File for the probability of every class in percent, one band a class (GeoTIFF)."""
    derived: Derived = field(default_factory=Derived)
    """Polygons and a table that are made of the cover."""
    report: Path | None = None
    """File for a page that shows the map and how it was made (HTML)."""
    quicklook: Path | None = None
    """File for a picture of the scene beside its cover (PNG)."""

    def __post_init__(self) -> None:
        if self.report:
            check_report(self.report)
        if self.quicklook:
            check_quicklook(self.quicklook)

    def check(self, scene: str | os.PathLike[str], settings: Settings, *, overwrite: bool) -> None:
        """Refuse outputs that would destroy something, or rasters that are named as other formats, before any work.

        Args:
            scene: The scene that is classified.
            settings: The settings of the run; they name the model and masks.
            overwrite: Accept outputs that exist.

        Raises:
            OutputError: See `check_outputs` and `check_raster`.
        """
        self.derived.check_names()  # first: files of another format may share sidecars with the cover
        check_outputs(self.paths(), scene, *settings.files, *self.derived.inputs, overwrite=overwrite)
        for raster in filter(None, (self.cover, self.confidence, self.probabilities)):
            check_raster(raster)

    def paths(self) -> list[Path]:
        """The files that will be written."""
        own = self.cover, self.confidence, self.probabilities, self.report, self.quicklook
        return [*(p for p in own if p is not None), *self.derived.paths()]


def open_writers(stack: ExitStack, plan: Plan, outputs: Outputs, precision: str) -> dict[str, RasterWriter]:
    """Open a writer for each raster of a run, under the name of the field of `ChunkCover` that it writes.

    Args:
        stack: Leaving it closes the writers, and removes what was not published.
        plan: What the rasters are made by.
        outputs: Says which rasters are wanted.
        precision: The precision and why it was chosen, in words, for a tag.

    Returns:
        Writers in the order in which their files are published: the cover comes last.
    """
    tags = cover_tags(plan, precision)
    # Polygons, tables and the report need it. If it is not wanted itself, it stays among the cover's temporary files.
    confidence = outputs.confidence or (outputs.cover if outputs.derived.paths() or outputs.report else None)
    wanted = {
        "probabilities": (outputs.probabilities, Layers(tuple(c.name for c in plan.legend), overviews="AVERAGE")),
        "confidence": (confidence, Layers(("confidence",), overviews="AVERAGE", style=percent_style())),
        "classes": (outputs.cover, Layers(("class",), legend=plan.map_classes, sieve=plan.settings.sieve)),
    }
    return {
        name: stack.enter_context(
            RasterWriter(path, plan.scene.geobox, dataclasses.replace(layers, tags=tags | {LAYER_TAG: name}))
        )
        for name, (path, layers) in wanted.items()
        if path is not None
    }


def cover_tags(plan: Plan, precision: str) -> dict[str, str]:
    """Tags that say how a cover was made. Without time and folders, so that the same input gives the same bytes."""
    described = plan.to_dict()
    return {
        "LANDMAP_VERSION": version("landmap"),
        "LANDMAP_SCENE": Path(plan.scene.source.redacted_path).name,
        "LANDMAP_FILES": json.dumps(described["scene"]["files"]),
        "LANDMAP_MODEL": f"{plan.card.name} {plan.card.version}",
        "LANDMAP_MODEL_SHA256": plan.card.weights_sha256,
        "LANDMAP_BANDS": json.dumps(described["scene"]["bands"]),
        "LANDMAP_RADIOMETRY": json.dumps(described["radiometry"]),
        "LANDMAP_NIR": plan.nir,
        "LANDMAP_NODATA": plan.scene.source.nodata_rule,
        "LANDMAP_CLOUDS": plan.scene.clouds.text,
        "LANDMAP_MASKS": json.dumps(described["masks"]),
        "LANDMAP_PRECISION": precision,
        STRIDE_TAG: str(1 if plan.card.per_pixel else plan.grid.stride),
        CELL_TAG: str(plan.cell),
        "LANDMAP_WARNINGS": json.dumps(plan.warnings),
        "LANDMAP_SETTINGS": _settings_tag(plan.settings),
        LEGEND_TAG: legend_tag(plan.map_classes),
    } | {
        name: text
        for name, text in {"LANDMAP_WARP": plan.scene.warp_text, RECODED_TAG: legend_text(plan)}.items()
        if text
    }


def _settings_tag(settings: Settings) -> str:
    """The settings as JSON, as they were given; of the paths of files only the names.

    The engine stands beside the precision.
    """
    given = dataclasses.asdict(settings)
    given |= {name: name_of(given[name]) for name in FILE_SETTINGS if given[name] is not None}
    return json.dumps({name: value for name, value in given.items() if name not in (*NEUTRAL_SETTINGS, "engine")})


def stage_others(
    stack: ExitStack,
    plan: Plan,
    outputs: Outputs,
    rasters: Mapping[str, Path],
    zones: Zones | None,
    warnings: list[str],
) -> list[Staged]:
    """Write what is made of the finished rasters, under temporary names: polygons, tables, page and picture.

    Args:
        stack: Leaving it removes what was not published.
        plan: What the rasters were made by.
        outputs: Says which of these files are wanted.
        rasters: The finished rasters by the name of their layer; "confidence" is there where it is needed.
        zones: What `Derived.check` returned.
        warnings: Those of the run so far, for the page; what the table warns of is added.

    Raises:
        LandmapError: See `landmap.errors`.
    """
    staged, odd = _stage_derived(stack, outputs.derived, rasters, zones)
    issue_warnings(odd)
    warnings += odd
    confidence = rasters.get("confidence")
    shown = Map(plan.scene, rasters["classes"], confidence, plan=plan, warnings=tuple(warnings))
    pages = [path for path in (outputs.report, outputs.quicklook) if path is not None]
    return [*staged, *(_stage_page(stack, shown, path, outputs) for path in pages)]


def _stage_derived(
    stack: ExitStack, derived: Derived, rasters: Mapping[str, Path], zones: Zones | None
) -> tuple[list[Staged], list[str]]:
    """Polygons and table, and what the table warns of."""
    if not derived.paths():
        return [], []
    cover, confidence = read_cover(rasters["classes"]), rasters["confidence"]
    staged, odd = list[Staged](), list[str]()
    if derived.vector:
        LOG.info("writing %s", derived.vector.name)
        folder, how = stack.enter_context(staging(derived.vector)), derived.vector_settings
        drawn = stage_vector(cover, derived.vector, folder, how, confidence, rasters.get("probabilities"))
        staged.append(drawn[0])
    if derived.summary:
        LOG.info("writing %s", derived.summary.name)
        folder = stack.enter_context(staging(derived.summary))
        table, _, odd = stage_summary(cover, derived.summary, folder, confidence, zones)
        staged.append(table)
    return staged, odd


def _stage_page(stack: ExitStack, shown: Map, path: Path, outputs: Outputs) -> Staged:
    """The report or the quicklook."""
    file = stack.enter_context(staging(path)) / path.name
    with write_errors(path):
        if path == outputs.report:
            file.write_text(render(shown), "utf-8")
        else:
            draw_quicklook(shown.scene, shown.cover, file, outputs.cover.name)
    return Staged(path, file)
