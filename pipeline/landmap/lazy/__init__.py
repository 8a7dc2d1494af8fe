"""Lazy arrays in, lazy maps out: one Dask graph from the arrays of an xarray object to the arrays of its cover.

`xarray_bands` says which array is which band, `sampled` reads the one small sample by which the plan is made, `graph`
makes the tasks, `predict` is what a program calls, and `combine` makes one map of several dates. What is done to a
chunk is what is done to the chunk of a file.
"""
