"""A raster or product, opened for a model: its bands on one grid, its masks, and pixels by windows."""
