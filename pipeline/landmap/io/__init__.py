"""Files are read and written: remote reads, publishing, GeoTIFF, vectors, tables, QGIS styles."""
