"""One scene in a pool of processes that is no Dask cluster.

    python workflows/pools.py scene.tif cover.tif

Whatever has the interface of `concurrent.futures.Executor` will do in place of the pool below, for instance

    loky.get_reusable_executor(max_workers=4)           # processes that survive crashes; pip install loky
    mpi4py.futures.MPIPoolExecutor()                    # mpiexec -n 5 python -m mpi4py.futures workflows/pools.py …

Something else, such as Ray's own tasks, needs a class with the two methods of `landmap.Executor`; `PoolExecutor` in
`landmap/executors/pool.py` is one to start from.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import landmap


def main(scene: str, cover: str, processes: int = 2) -> None:
    """Classify a scene in a pool of processes.

    Args:
        scene: Anything that `landmap classify` takes.
        cover: File for the map.
        processes: Number of processes.
    """
    # Forked processes would share a TensorFlow that has been started, which hangs.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        print(landmap.classify(scene, cover, executor=landmap.PoolExecutor(pool, most=2 * processes), overwrite=True))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(str(__doc__))
    main(*sys.argv[1:])
