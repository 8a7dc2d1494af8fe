"""A raster or product becomes a scene: its bands on one grid, what is masked, pixels on demand."""
