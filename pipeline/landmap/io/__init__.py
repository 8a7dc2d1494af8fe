"""Bytes in and out: remote reads, publishing, GeoTIFF, vectors, tables, QGIS styles."""
