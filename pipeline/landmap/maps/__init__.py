"""Finished maps are read, and become tables of areas and polygons."""
