"""What QGIS makes of files without being told anything; runs in QGIS's own Python and knows nothing of landmap.

qgis_looks.py PICTURE LAYER ...: the last layer is at the bottom of the picture (PNG, 600 pixels wide). Prints JSON, one
entry a layer. A layer is a raster, or FILE.gpkg|layername=NAME.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from qgis.core import QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor


def opened(source: str) -> Any:
    """As by drag and drop: with the style that lies beside it or inside."""
    is_vector = ".gpkg" in source
    return QgsVectorLayer(source, "vector", "ogr") if is_vector else QgsRasterLayer(source, "raster")


def described(layer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"valid": layer.isValid(), "renderer": layer.renderer().type()}
    kind = found["renderer"]
    if kind == "paletted":
        found["classes"] = [[c.value, c.label, c.color.name()] for c in layer.renderer().classes()]
    elif kind == "singlebandpseudocolor":
        shader = layer.renderer().shader().rasterShaderFunction()
        found["classes"] = [[item.value, item.label, item.color.name()] for item in shader.colorRampItemList()]
    elif kind == "categorizedSymbol":
        found["attribute"] = layer.renderer().classAttribute()
        found["classes"] = [[c.value(), c.label(), c.symbol().color().name()] for c in layer.renderer().categories()]
    return found


def draw(layers: list[Any], picture: str) -> None:
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(layers[-1].crs())
    extent = layers[-1].extent()
    settings.setExtent(extent)
    settings.setOutputSize(QSize(600, round(600 * extent.height() / extent.width())))
    settings.setBackgroundColor(QColor("white"))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    assert job.renderedImage().save(picture)


application = QgsApplication([], False)
application.initQgis()
sources = [opened(source) for source in sys.argv[2:]]
print(json.dumps([described(layer) for layer in sources]))
draw(sources, sys.argv[1])
sources.clear()
application.exitQgis()
