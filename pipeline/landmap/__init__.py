"""A Sentinel-2 scene becomes a land-cover map.

import landmap

result = landmap.classify("scene.tif", "cover.tif")
cover = landmap.open_cover("cover.tif")

What this module lists in `__all__` is public, and `landmap.errors`; every other module may change without notice.
Each name is imported when it is first used, so that `import landmap` is light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landmap.accuracy.assess import assess as assess
    from landmap.accuracy.assessment import Assessment as Assessment
    from landmap.accuracy.change import Change as Change
    from landmap.accuracy.change import compare_maps as compare_maps
    from landmap.accuracy.design import Design as Design
    from landmap.accuracy.design import design as design
    from landmap.accuracy.series import Series as Series
    from landmap.accuracy.series import compare_series as compare_series
    from landmap.batch.jobs import Job as Job
    from landmap.batch.jobs import find_jobs as find_jobs
    from landmap.batch.run import BatchResult as BatchResult
    from landmap.batch.run import batch_status as batch_status
    from landmap.batch.run import run_batch as run_batch
    from landmap.demo.example import write_example as write_example
    from landmap.errors import LandmapError as LandmapError
    from landmap.errors import LandmapWarning as LandmapWarning
    from landmap.executors.base import Executor as Executor
    from landmap.executors.pool import PoolExecutor as PoolExecutor
    from landmap.inference.plan import Plan as Plan
    from landmap.inference.plan import make_plan as plan  # noqa: F401 # listed by the table below
    from landmap.lazy.combine import combine as combine
    from landmap.lazy.predict import annotate_inference as annotate_inference
    from landmap.lazy.predict import predict as predict
    from landmap.maps.cover import open_cover as open_cover
    from landmap.maps.mosaic import Mosaic as Mosaic
    from landmap.maps.mosaic import mosaic as mosaic
    from landmap.maps.shares import ClassShare as ClassShare
    from landmap.maps.suggest import suggest as suggest
    from landmap.maps.summarize import summarize as summarize
    from landmap.maps.vectorize import VectorSettings as VectorSettings
    from landmap.maps.vectorize import vectorize as vectorize
    from landmap.report.page import write_report as write_report
    from landmap.report.quicklook import write_quicklook as write_quicklook
    from landmap.run.classify import classify as classify
    from landmap.run.classify import run_plan as run_plan
    from landmap.run.outputs import Derived as Derived
    from landmap.run.outputs import Outputs as Outputs
    from landmap.run.result import Result as Result
    from landmap.scene.scene import Scene as Scene
    from landmap.scene.scene import open_scene as open_scene
    from landmap.settings import Settings as Settings

_PUBLIC = {
    "Assessment": "accuracy.assessment:Assessment",
    "BatchResult": "batch.run:BatchResult",
    "Change": "accuracy.change:Change",
    "ClassShare": "maps.shares:ClassShare",
    "Derived": "run.outputs:Derived",
    "Design": "accuracy.design:Design",
    "Executor": "executors.base:Executor",
    "Job": "batch.jobs:Job",
    "LandmapError": "errors:LandmapError",
    "LandmapWarning": "errors:LandmapWarning",
    "Mosaic": "maps.mosaic:Mosaic",
    "Outputs": "run.outputs:Outputs",
    "Plan": "inference.plan:Plan",
    "PoolExecutor": "executors.pool:PoolExecutor",
    "Result": "run.result:Result",
    "Scene": "scene.scene:Scene",
    "Series": "accuracy.series:Series",
    "Settings": "settings:Settings",
    "VectorSettings": "maps.vectorize:VectorSettings",
    "annotate_inference": "lazy.predict:annotate_inference",
    "assess": "accuracy.assess:assess",
    "batch_status": "batch.run:batch_status",
    "classify": "run.classify:classify",
    "combine": "lazy.combine:combine",
    "compare_maps": "accuracy.change:compare_maps",
    "compare_series": "accuracy.series:compare_series",
    "design": "accuracy.design:design",
    "find_jobs": "batch.jobs:find_jobs",
    "mosaic": "maps.mosaic:mosaic",
    "open_cover": "maps.cover:open_cover",
    "open_scene": "scene.scene:open_scene",
    "plan": "inference.plan:make_plan",
    "predict": "lazy.predict:predict",
    "run_batch": "batch.run:run_batch",
    "run_plan": "run.classify:run_plan",
    "suggest": "maps.suggest:suggest",
    "summarize": "maps.summarize:summarize",
    "vectorize": "maps.vectorize:vectorize",
    "write_example": "demo.example:write_example",
    "write_quicklook": "report.quicklook:write_quicklook",
    "write_report": "report.page:write_report",
}
"""Public names, and where each is defined: module inside landmap, and its name there."""

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("landmap")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, defined = _PUBLIC[name].partition(":")
    found = globals()[name] = getattr(import_module(f"{__name__}.{module}"), defined)
    return found


def __dir__() -> list[str]:
    """The public names, for completion."""
    return [*__all__, "__version__", "errors"]
