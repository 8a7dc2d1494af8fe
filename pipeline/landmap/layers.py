"""The rasters of a run: which are written, and what their tags say of how they were made."""

from __future__ import annotations

import dataclasses
import json
import math
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from landmap.planning import Plan
from landmap.raster import CELL_TAG, LAYER_TAG, LEGEND_TAG, STRIDE_TAG, Layers, RasterWriter, legend_tag
from landmap.result import Outputs
from landmap.settings import FILE_SETTINGS, NEUTRAL_SETTINGS, Settings
from landmap.source import name_of
from landmap.style import percent_style
from landmap_models.nir import CELL


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
            RasterWriter(path, plan.scene, dataclasses.replace(layers, tags=tags | {LAYER_TAG: name}))
        )
        for name, (path, layers) in wanted.items()
        if path is not None
    }


def _tags(plan: Plan, precision: str) -> dict[str, str]:
    """What made the cover. No time and no folder: the same input gives the same bytes everywhere."""
    described = plan.to_dict()
    return {
        "LANDMAP_VERSION": version("landmap"),
        "LANDMAP_SCENE": Path(plan.scene.shown_path).name,
        "LANDMAP_FILES": json.dumps(described["scene"]["files"]),
        "LANDMAP_MODEL": f"{plan.card.name} {plan.card.version}",
        "LANDMAP_MODEL_SHA256": plan.card.weights_sha256,
        "LANDMAP_BANDS": json.dumps(described["scene"]["bands"]),
        "LANDMAP_RADIOMETRY": json.dumps(described["radiometry"]),
        "LANDMAP_NIR": plan.nir,
        "LANDMAP_NODATA": plan.scene.nodata_rule,
        "LANDMAP_CLOUDS": plan.scene.clouds.says,
        "LANDMAP_MASKS": json.dumps(described["masks"]),
        "LANDMAP_PRECISION": precision,
        STRIDE_TAG: str(plan.grid.stride),
        CELL_TAG: str(math.gcd(plan.grid.stride, CELL) if plan.scene.infrared else plan.grid.stride),
        "LANDMAP_WARNINGS": json.dumps(plan.warnings),
        "LANDMAP_SETTINGS": _settings_tag(plan.settings),
        LEGEND_TAG: legend_tag(plan.map_classes),
    } | ({"LANDMAP_WARP": plan.scene.warp_says} if plan.scene.warp_says else {})


def _settings_tag(settings: Settings) -> str:
    """Settings as given, as JSON; of the paths of files only the names."""
    given = dataclasses.asdict(settings)
    given |= {name: name_of(given[name]) for name in FILE_SETTINGS if given[name] is not None}
    return json.dumps({name: value for name, value in given.items() if name not in NEUTRAL_SETTINGS})
