"""A Sentinel-2 scene becomes a land-cover map.

import landmap

result = landmap.classify("scene.tif", "cover.tif")
cover = landmap.open_cover("cover.tif")
"""

from landmap.classify import Result, classify
from landmap.derived import Derived
from landmap.planning import Plan
from landmap.planning import make_plan as plan
from landmap.raster import open_cover
from landmap.scene import Scene, open_scene
from landmap.settings import Settings
from landmap.summarize import summarize
from landmap.vector import VectorSettings, vectorize

__all__ = [
    "Derived",
    "Plan",
    "Result",
    "Scene",
    "Settings",
    "VectorSettings",
    "classify",
    "open_cover",
    "open_scene",
    "plan",
    "summarize",
    "vectorize",
]
