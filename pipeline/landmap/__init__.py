"""A Sentinel-2 scene becomes a land-cover map."""
