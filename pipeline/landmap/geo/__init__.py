"""Where a raster lies on the Earth: its grid, the areas of its pixels, longitudes around 180°."""
