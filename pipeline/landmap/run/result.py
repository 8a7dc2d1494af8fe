"""What a run is asked for, whom it tells, and what came of it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from landmap.inference.plan import Plan
from landmap.io.cog import Layers, RasterWriter, check_raster
from landmap.io.qgis import percent_style
from landmap.io.remote import name_of
from landmap.left_out import NO_DATA, left_out_words
from landmap.maps.shares import ClassShare
from landmap.maps.tags import CELL_TAG, LAYER_TAG, LEGEND_TAG, STRIDE_TAG, legend_tag
from landmap.products.files import check_outputs
from landmap.report.page import check_report
from landmap.report.quicklook import check_quicklook
from landmap.run.derived import Derived
from landmap.settings import FILE_SETTINGS, NEUTRAL_SETTINGS, Settings
from landmap_models.model_file.nir import CELL

Progress = Callable[[int, int], None]
"""Called after each chunk with the number of pixels done and of all."""
Say = Callable[[str], None]
"""Called with a line for the user."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outputs:
    """Where the results go.

    Raises:
        OutputError: A report or quicklook has another ending than it needs, or a library for it is missing.
    """

    cover: Path
    """Class ids."""
    confidence: Path | None = None
    """Probability of the class in percent."""
    probabilities: Path | None = None
    """Probability of every class in percent, one band a class."""
    derived: Derived = dataclasses.field(default_factory=Derived)
    """What is made of these."""
    report: Path | None = None
    """A page that shows the map and says how it was made."""
    quicklook: Path | None = None
    """A picture of the scene beside its cover."""

    def __post_init__(self) -> None:
        if self.report:
            check_report(self.report)
        if self.quicklook:
            check_quicklook(self.quicklook)

    def check(self, scene: str | os.PathLike[str], settings: Settings, *, overwrite: bool) -> None:
        """Refuse outputs that would destroy something, or rasters that are named as other formats, before any work.

        Args:
            scene: What is classified.
            settings: How; they name the model and masks.
            overwrite: Replace outputs that exist.

        Raises:
            OutputError: See `check_outputs` and `check_raster`.
        """
        self.derived.check_names()  # first: files of another format may share sidecars with the cover
        check_outputs(self.paths(), scene, *settings.files, *self.derived.inputs, overwrite=overwrite)
        for raster in filter(None, (self.cover, self.confidence, self.probabilities)):
            check_raster(raster)

    def paths(self) -> list[Path]:
        """Those that are asked for."""
        own = self.cover, self.confidence, self.probabilities, self.report, self.quicklook
        return [*(p for p in own if p is not None), *self.derived.paths()]


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What was done."""

    outputs: Outputs
    """Files written."""
    plan: Plan
    """What they were made by."""
    classes: tuple[ClassShare, ...]
    """Share of each class."""
    left_out: Mapping[str, int]
    """Pixels without a class by reason, such as "no data", "cloud", "outside the area"; those that occur."""
    seconds: float
    """Time from the plan to the last file."""
    precision: str
    """In which the model computed, and why, in words."""
    warnings: tuple[str, ...]
    """Those of the plan, and what was found on the way."""
    reused: int = 0
    """Chunks that a run before had finished."""

    @property
    def nodata_pixels(self) -> int:
        """Pixels in which the scene has no data; what masks leave out is counted apart."""
        return self.left_out.get(NO_DATA, 0)

    @property
    def left_out_says(self) -> str:
        """What share of the scene is left out though it has data there, and why, in words; "" where none is."""
        return left_out_words(self.left_out, self.plan.scene.geobox.height * self.plan.scene.geobox.width)


@dataclasses.dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a run while it goes on."""

    progress: Progress | None = None
    """Called after each chunk."""
    say: Say | None = None
    """Called with news: how many chunks are reused, where the cluster's dashboard is."""
    warn: Say | None = None
    """Called with each warning that is found on the way, at once; they are in the result, too."""


def open_writers(stack: ExitStack, plan: Plan, outputs: Outputs, precision: str) -> dict[str, RasterWriter]:
    """Writers by the name of the field of `ChunkCover` that they keep; the cover is published last."""
    tags = _tags(plan, precision)
    # Polygons, tables and the report need it; if it is not asked for, it goes with the cover's working files.
    confidence = outputs.confidence or (outputs.cover if outputs.derived.paths() or outputs.report else None)
    wanted = {
        "probabilities": (outputs.probabilities, Layers(plan.card.legend.names, overviews="AVERAGE")),
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


def _tags(plan: Plan, precision: str) -> dict[str, str]:
    """What made the cover. No time and no folder: the same input gives the same bytes everywhere."""
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
        STRIDE_TAG: str(plan.grid.stride),
        CELL_TAG: str(math.gcd(plan.grid.stride, CELL) if plan.scene.nir else plan.grid.stride),
        "LANDMAP_WARNINGS": json.dumps(plan.warnings),
        "LANDMAP_SETTINGS": _settings_tag(plan.settings),
        LEGEND_TAG: legend_tag(plan.map_classes),
    } | ({"LANDMAP_WARP": plan.scene.warp_text} if plan.scene.warp_text else {})


def _settings_tag(settings: Settings) -> str:
    """Settings as given, as JSON; of the paths of files only the names."""
    given = dataclasses.asdict(settings)
    given |= {name: name_of(given[name]) for name in FILE_SETTINGS if given[name] is not None}
    return json.dumps({name: value for name, value in given.items() if name not in NEUTRAL_SETTINGS})
