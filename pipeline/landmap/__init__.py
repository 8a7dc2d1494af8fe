"""A Sentinel-2 scene becomes a land-cover map.

import landmap

result = landmap.classify("scene.tif", "cover.tif")
cover = landmap.open_cover("cover.tif")
"""

from landmap.accuracy import Assessment
from landmap.assess import assess
from landmap.batch import BatchResult, batch_status, run_batch
from landmap.change import Change, compare_maps
from landmap.classify import classify
from landmap.derived import Derived
from landmap.job_lists import find_jobs
from landmap.jobs import Job
from landmap.planning import Plan
from landmap.planning import make_plan as plan
from landmap.raster import open_cover
from landmap.result import Result
from landmap.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.summarize import summarize
from landmap.vector import VectorSettings, vectorize

__all__ = [
    "Assessment",
    "BatchResult",
    "Change",
    "Derived",
    "Job",
    "Plan",
    "Result",
    "Scene",
    "Settings",
    "VectorSettings",
    "assess",
    "batch_status",
    "classify",
    "compare_maps",
    "find_jobs",
    "open_cover",
    "open_scene",
    "plan",
    "run_batch",
    "summarize",
    "vectorize",
]
