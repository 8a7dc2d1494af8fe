"""What is made of a finished cover in the same run: polygons and tables."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from landmap.errors import SettingsError, ZoneError
from landmap.io.publish import Staged, staging, write_errors
from landmap.io.tables import check_table
from landmap.io.vectors import format_of
from landmap.maps.cover import read_cover
from landmap.maps.summarize import check_summary, stage_summary
from landmap.maps.vectorize import VectorSettings, check_vector, stage_vector
from landmap.maps.zones import Zones
from landmap.report.page import Map, render
from landmap.report.quicklook import draw_quicklook


@dataclass(frozen=True, slots=True)
class Derived:
    """What is wanted: nothing, unless it is named."""

    vector: Path | None = None
    """Polygons for each class: GeoPackage, GeoJSON or GeoParquet."""
    vector_settings: VectorSettings = field(default_factory=VectorSettings)
    """How these are made."""
    summary: Path | None = None
    """Table of the classes: CSV, JSON or Parquet."""
    zones: Path | None = None
    """Polygons that share out the table."""
    zone_id: str | None = None
    """Column of the zones that names them."""
    zone_layer: str | None = None
    """Name of the layer of the zones; None where their file has one of polygons."""

    def __post_init__(self) -> None:
        if self.vector is None and self.vector_settings != VectorSettings():
            raise SettingsError("min-area, simplify and cells say how to draw polygons: expected --vector FILE, too")
        if self.summary is None and (self.zones or self.zone_id or self.zone_layer):
            raise SettingsError("zones share out a table: expected --summary FILE, too")

    def paths(self) -> list[Path]:
        """Files to be written."""
        return [path for path in (self.vector, self.summary) if path is not None]

    @property
    def inputs(self) -> list[Path]:
        """Files that are read for them besides the run's rasters."""
        return [] if self.zones is None else [self.zones]

    def check_names(self) -> None:
        """Refuse names that end as no format does that can be written.

        Raises:
            OutputError: Says which endings are possible.
        """
        if self.vector:
            format_of(self.vector)
        if self.summary:
            check_table(self.summary)

    def check(self, *, with_probabilities: bool, placed: bool) -> Zones | None:
        """Refuse what can't be done, before any work, and read the zones.

        Args:
            with_probabilities: There will be a raster of them.
            placed: The scene has a place on the ground.

        Raises:
            LandmapError: See `landmap.errors`.
        """
        if self.vector:
            check_vector(self.vector, self.vector_settings, with_probabilities=with_probabilities, placed=placed)
        if self.zones and not placed:
            raise ZoneError(f"{self.zones}: zones need a scene with a place on the ground (CRS and geotransform)")
        return check_summary(self.summary, self.zones, self.zone_id, self.zone_layer) if self.summary else None

    def stage(
        self,
        stack: ExitStack,
        rasters: dict[str, Path],
        zones: Zones | None,
        say: Callable[[str], None] | None = None,
    ) -> tuple[list[Staged], list[str]]:
        """Write the files under temporary names, which are removed when the stack is left.

        Args:
            stack: Of the run, which holds the locks of these outputs.
            rasters: Finished files by layer: classes, confidence, and probabilities where cells are wanted.
            zones: What `check` returned.
            say: Called with news: what is written.

        Returns:
            Files to be published, and warnings.

        Raises:
            LandmapError: See `landmap.errors`.
        """
        cover = read_cover(rasters["classes"])
        confidence, probabilities = rasters["confidence"], rasters.get("probabilities")
        staged: list[Staged] = []
        warnings: list[str] = []
        say = say or (lambda text: None)
        if self.vector:
            say(f"writing {self.vector.name}")
            folder = stack.enter_context(staging(self.vector))
            drawn = stage_vector(cover, self.vector, folder, self.vector_settings, confidence, probabilities)
            staged.append(drawn[0])
        if self.summary:
            say(f"writing {self.summary.name}")
            folder = stack.enter_context(staging(self.summary))
            table, _, warnings = stage_summary(cover, self.summary, folder, confidence, zones)
            staged.append(table)
        return staged, warnings


def stage_companions(
    stack: ExitStack, made: Map, *, name: str, report: Path | None = None, quicklook: Path | None = None
) -> list[Staged]:
    """Make those that are asked for, under temporary names.

    Args:
        stack: Leaving it removes what was not published.
        made: The map.
        name: What the cover will be called.
        report: Where the page is to go.
        quicklook: Where the picture is to go.

    Raises:
        SceneError: The scene can't be read.
        OutputError: The disk is full, or the like.
    """
    staged = []
    for path in filter(None, (report, quicklook)):
        file = stack.enter_context(staging(path)) / path.name
        with write_errors(path):
            if path == report:
                file.write_text(render(made), "utf-8")
            else:
                draw_quicklook(made.scene, made.cover, file, name)
        staged.append(Staged(path, file))
    return staged
