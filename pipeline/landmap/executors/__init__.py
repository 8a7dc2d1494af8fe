"""Where chunks are executed: the only package that imports Dask.

`threads` executes them in this process, `cluster` in the processes of a Dask cluster, which run `worker`; `connect`
makes the executor that is asked for. A new executor is one more module with the two methods of `base.Executor`.
Whichever executes the chunks, the cover is the same to the last byte.
"""
