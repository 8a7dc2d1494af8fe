"""Chunks on Dask: the only package that imports it.

`threads` runs them in this process, `cluster` in others, to which `connect` leads; `worker` is what those do. Whichever
`Executor` runs them, the cover is the same to the last byte.
"""
