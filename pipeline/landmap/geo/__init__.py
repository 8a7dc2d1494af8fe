"""Where a raster lies on the Earth: its geobox, the areas of its pixels, coordinates around 180°."""
