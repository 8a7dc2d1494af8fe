"""Maps are assessed by reference data, and compared with other maps."""
