"""A finished map: areas, tables, polygons."""
